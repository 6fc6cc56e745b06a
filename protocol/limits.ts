// Bounds of the wire contract, in one place, each with its reason.

/** Requests with JSON bodies above this are refused unread; the largest, a result of a long task, is far below. */
const MAX_JSON_BYTES = 4 * 1024 * 1024
/** All but results, pulls and what people create: a registration has the most, 256 kinds of task. */
const MAX_SMALL_JSON_BYTES = 64 * 1024
/** Weight payloads; they pass as streams, but a shard has one in memory while it adds it. */
const MAX_WEIGHTS_BYTES = 30 * 1024 * 1024
/** Pushes that one shard receives at a time, together: with its weights, velocities and a copy of what changes they fit an isolate (128 MB). */
const MAX_RECEIVING_BYTES = 64 * 1024 * 1024
/** A shard of this many float32 bytes fits an isolate (128 MB) three times over. */
const DEFAULT_SHARD_BYTES = 16 * 1024 * 1024
/** A push of a whole shard, its header included, must fit MAX_WEIGHTS_BYTES, and three copies of it an isolate. */
const MAX_SHARD_BYTES = 24 * 1024 * 1024
/** A search calls every shard when it is created; one request may make about 50 calls on the free plan. */
const MAX_SHARDS = 40
/** Of a space whose scores are smoothed: a status is made of a regression on them, and a fit is the third power of their number. */
const MAX_SMOOTHED_OPTIONS = 400
/** A row of SQLite storage holds at most 2 MB. */
const MAX_ROW_BYTES = 1_900_000
/** Small tensors share a row of up to this many bytes: few rows written per push, little rewritten for nothing. */
const SEGMENT_BYTES = 256 * 1024
/** Architecture steps or mini-batches in one task: bounds the work lost with an agent. */
const MAX_TASK_STEPS = 1000
/** A task whose leases came to nothing so often is given up: it would keep its search from ending. */
const MAX_TASK_ATTEMPTS = 5
/** Of what an agent says about a task that failed. */
const MAX_FAILURE_MESSAGE = 300
/** In one result: no data set of an agent has more. */
const MAX_IMAGES = 1e9
/** Threads of one agent. */
const MAX_LANES = 256
/** Decisions of a space, and options of one of them. */
const MAX_DECISIONS = 1024
const MAX_OPTIONS = 65_536
/** Gates over all steps of a task: with their gradients, at most 55 bytes of JSON each, they are one row of the log. */
const MAX_TASK_GATES = 32_768
/** A lease shorter than this would expire under an agent that merely compiles its kernels. */
const MIN_LEASE_MS = 1000
const MAX_LEASE_MS = 3_600_000
/** An agent that is heard of but gets nowhere has hung: no task of a few mini-batches takes so long, and trials have checkpoints in between. */
const DEFAULT_HELD_MS = 3_600_000
const MAX_HELD_MS = 30 * 86_400_000
/** An agent trains one task, fetches the next and delivers the last: twice that is room for what got lost on the way. */
const DEFAULT_LEASES_PER_AGENT = 6
/** A search of which so many tasks in a row were given up hands out no more until a person resumes it. */
const MAX_FAILURES_IN_A_ROW = 8
/** What an agent is told to wait when all work is handed out: first, and in the end. It is there for a round for 30 s (rules/search/attendance.ts). */
const WAIT_MS = 250
const MAX_WAIT_MS = 10_000
/** And when the others of a round are nearly done with it. */
const ROUND_WAIT_MS = 50
const MAX_ROUND_WAIT_MS = 2000
/** And while its search is paused: in the end one request in five minutes, 330 a day with jitter. */
const PAUSED_WAIT_MS = 1000
const MAX_PAUSED_WAIT_MS = 300_000
/** And while it keeps a socket open (wake-ups.ts), when all work is handed out or the search is paused: whoever is woken need not ask in between. */
const LISTENING_WAIT_MS = 25_000
const LISTENING_PAUSED_WAIT_MS = 900_000
/** Alpha is refused beyond this: e^±80 is the edge of what float32 probabilities can hold. */
const MAX_ALPHA = 80
/** Magnitudes beyond this in gradients, losses or weights are a diverged run, not a number to store. */
const MAX_MAGNITUDE = 1e20
const MAX_METRICS_PAGE = 1000
/** A page of the log ends here, however many entries were asked for: it is one message of at most 32 MiB. */
const MAX_LOG_PAGE_BYTES = 8 * 1024 * 1024
/** Agents beyond this that have not been seen for a while are told of in total: they all are in the status, 0.5 kB each. */
const KEPT_AGENTS = 256
/** Agents that are told of one by one, seen or not. */
const MAX_AGENTS = 1024
/** Checkpoints and models of a training are stored in rows of this size: well below what one may hold. */
const CHECKPOINT_CHUNK_BYTES = 1024 * 1024
/** Larger files than this travel in parts of it: a slow uplink carries one well within a request's time. A multiple of a row. */
const PART_BYTES = 8 * CHECKPOINT_CHUNK_BYTES
/** Of one training: 44 million parameters with a moving average, 67 million without. An object may store 10 GB. */
const MAX_CHECKPOINT_BYTES = 512 * 1024 * 1024
/** Checkpoints of trials that a search keeps to go on from later; those of tasks that are handed out may take as much again. An object has 10 GB. */
const MAX_TRIAL_CHECKPOINT_BYTES = 4 * 1024 * 1024 * 1024
/** Between two checkpoints of a training, in milliseconds, where nobody says. */
const DEFAULT_CHECKPOINT_MS = 300_000
const MAX_CHECKPOINT_MS = 86_400_000
/** Reports of one training, at most 250 bytes of JSON each: they all are in its status and in every checkpoint. */
const MAX_REPORTS = 10_000

/** A code is typed or scanned within minutes; whoever finds it later finds it worthless. */
const PROFILE_CODE_MS = 30 * 60_000
/** From opening a profile to its end: a large space on three backends of a slow phone takes an hour, and phones are put away. */
const PROFILE_SESSION_MS = 12 * 3_600_000
/** How long a profile can be looked at after its tables were published; the tables stay. */
const PROFILE_KEPT_MS = 24 * 3_600_000
/** Timings in one request: some 200 KB of JSON, one row of storage. */
const MAX_BATCH_SAMPLES = 20_000
/** Timings of one backend: all are in memory when its table is made. */
const MAX_PROFILE_SAMPLES = 250_000
/** No operation of a space that can be searched takes longer for one run. */
const MAX_SAMPLE_MS = 600_000
const MAX_PROFILE_IMAGES = 64
const MAX_PROFILE_SECONDS = 3600

export {
  CHECKPOINT_CHUNK_BYTES,
  DEFAULT_HELD_MS,
  DEFAULT_LEASES_PER_AGENT,
  DEFAULT_SHARD_BYTES,
  KEPT_AGENTS,
  MAX_AGENTS,
  MAX_ALPHA,
  MAX_BATCH_SAMPLES,
  DEFAULT_CHECKPOINT_MS,
  MAX_CHECKPOINT_BYTES,
  MAX_CHECKPOINT_MS,
  MAX_TRIAL_CHECKPOINT_BYTES,
  MAX_JSON_BYTES,
  MAX_DECISIONS,
  MAX_FAILURES_IN_A_ROW,
  MAX_FAILURE_MESSAGE,
  MAX_HELD_MS,
  MAX_IMAGES,
  MAX_LANES,
  MAX_LEASE_MS,
  MAX_OPTIONS,
  MAX_LOG_PAGE_BYTES,
  MAX_MAGNITUDE,
  MAX_METRICS_PAGE,
  MAX_PROFILE_IMAGES,
  MAX_PROFILE_SAMPLES,
  MAX_PROFILE_SECONDS,
  MAX_RECEIVING_BYTES,
  MAX_REPORTS,
  MAX_ROW_BYTES,
  MAX_SAMPLE_MS,
  MAX_SHARDS,
  MAX_SMOOTHED_OPTIONS,
  MAX_SHARD_BYTES,
  MAX_SMALL_JSON_BYTES,
  MAX_TASK_ATTEMPTS,
  MAX_TASK_GATES,
  MAX_TASK_STEPS,
  LISTENING_PAUSED_WAIT_MS,
  LISTENING_WAIT_MS,
  MAX_PAUSED_WAIT_MS,
  MAX_ROUND_WAIT_MS,
  MAX_WAIT_MS,
  MAX_WEIGHTS_BYTES,
  MIN_LEASE_MS,
  PART_BYTES,
  PAUSED_WAIT_MS,
  PROFILE_CODE_MS,
  PROFILE_KEPT_MS,
  PROFILE_SESSION_MS,
  ROUND_WAIT_MS,
  SEGMENT_BYTES,
  WAIT_MS,
}
