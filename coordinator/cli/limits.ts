// Numbers of the command line tool, in one place, each with its reason.

const DEFAULT_PORT = 8787
const DEFAULT_COORDINATOR_URL = `http://127.0.0.1:${DEFAULT_PORT}`
const DEFAULT_STATE_FOLDER = '.gatehouse'

/** A coordinator answers in milliseconds; publishing a large table over a slow line may take a while. */
const REQUEST_TIMEOUT_MS = 30_000
/** Reads are tried this often: with the delays below a restart of the coordinator goes unnoticed. */
const READ_ATTEMPTS = 4
/** The delay before the second attempt; it doubles with each. The actual delay is drawn between half of it and all of it. */
const FIRST_RETRY_DELAY_MS = 250
const MAX_RETRY_DELAY_MS = 5000

/** A person watching wants to see it move; a status costs the coordinator one read. */
const WATCH_TERMINAL_INTERVAL_MS = 1000
/** A log file does not need a line more often. */
const WATCH_LOG_INTERVAL_MS = 5000

/** A coordinator on this machine answers at once, at whichever of its addresses it listens. */
const NEIGHBOUR_TIMEOUT_MS = 1000

/** Bytes of an admin token: 256 bits cannot be guessed. */
const ADMIN_TOKEN_BYTES = 32
/** A killed process is gone within milliseconds; a process that is still there after this will not go. */
const PROCESS_EXIT_WAIT_MS = 5000
const PROCESS_POLL_MS = 20
/** The Worker answers its first health check well within a second of its runtime's start. */
const FIRST_ANSWER_WAIT_MS = 20_000
/** Bundling takes about two seconds; a slow disk may take ten times as long. */
const BUILD_TIMEOUT_MS = 120_000

export {
  ADMIN_TOKEN_BYTES,
  BUILD_TIMEOUT_MS,
  DEFAULT_COORDINATOR_URL,
  DEFAULT_PORT,
  DEFAULT_STATE_FOLDER,
  FIRST_ANSWER_WAIT_MS,
  FIRST_RETRY_DELAY_MS,
  MAX_RETRY_DELAY_MS,
  NEIGHBOUR_TIMEOUT_MS,
  PROCESS_EXIT_WAIT_MS,
  PROCESS_POLL_MS,
  READ_ATTEMPTS,
  REQUEST_TIMEOUT_MS,
  WATCH_LOG_INTERVAL_MS,
  WATCH_TERMINAL_INTERVAL_MS,
}
