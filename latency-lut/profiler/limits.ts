// Numbers of measuring, wherever it happens, in one place, each with its reason.

/** Measuring ends early once every median's 95 % interval is within this share of it, to both sides. */
const DEFAULT_PRECISION = 0.02
/** Fewer rounds than this never count as enough: the interval of a median of few samples is itself uncertain. */
const MIN_ROUNDS_FOR_ENOUGH = 24
/** Bounds `rounds`: samples are kept in memory. */
const MAX_ROUNDS = 10_000
/** Rounds between two looks at the precision, which costs about as much as measuring a small operation. */
const ROUNDS_PER_LOOK = 8
/** V8 has compiled the code in use after some thousand calls of it; all operations run the same code. */
const WARM_UP_ROUNDS = 20
/** Warming up may take this share of the budget, but one round at least. */
const WARM_UP_SHARE = 0.15
/** Runs of a queued sample: waiting for the device costs a fraction of a millisecond, spread over this much work. */
const QUEUED_SAMPLE_MS = 20
/** Bounds the work queued on a device at once. */
const MAX_QUEUED_RUNS = 200

export {
  DEFAULT_PRECISION,
  MAX_QUEUED_RUNS,
  MAX_ROUNDS,
  MIN_ROUNDS_FOR_ENOUGH,
  QUEUED_SAMPLE_MS,
  ROUNDS_PER_LOOK,
  WARM_UP_ROUNDS,
  WARM_UP_SHARE,
}
