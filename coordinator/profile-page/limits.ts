// Numbers of the measuring page, in one place, each with its reason.

/** A sample of this many steps of the clock is known to 2.5 %; more would repeat what a network runs once. */
const CLOCK_STEPS_PER_SAMPLE = 20
/** Steps of the clock that are looked at: the smallest is its step. */
const CLOCK_LOOKS = 20
/** A clock whose steps are smaller than can be seen counts as this fine. */
const FINEST_CLOCK_MS = 0.001

/** The page moves and takes touches this often; more often would disturb what is measured. */
const YIELD_MS = 100
/** Measuring between two looks at the reference: heat comes in seconds, and a look costs three samples. */
const LOOK_MS = 1000
/** Times of the reference in one look; their median counts. */
const REFERENCE_SAMPLES = 3
/** A pause for a hot device; it is then looked at again. */
const COOLING_MS = 4000
/** All pauses together, as a share of the budget: a device that has not recovered by then does not go faster for longer. */
const COOLING_SHARE = 0.5

/** Rounds are sent this often, so that a lost connection or a closed page costs no more. */
const SEND_MS = 2000
/** Medians on the screen are renewed this often. */
const SHOW_MS = 500
/** Timings in one request; the coordinator takes 20,000. */
const MAX_SENT_SAMPLES = 10_000
/** Timings are sent with this many digits: finer than any clock of a browser. */
const DIGITS = 5

/** Answers take well under a second; one that hangs this long counts as lost. */
const REQUEST_TIMEOUT_MS = 15_000
const FIRST_RETRY_MS = 500
const LAST_RETRY_MS = 15_000
/** Retries are spread by up to this share. */
const RETRY_JITTER = 0.3

export {
  CLOCK_LOOKS,
  CLOCK_STEPS_PER_SAMPLE,
  COOLING_MS,
  COOLING_SHARE,
  DIGITS,
  FINEST_CLOCK_MS,
  FIRST_RETRY_MS,
  LAST_RETRY_MS,
  LOOK_MS,
  MAX_SENT_SAMPLES,
  REFERENCE_SAMPLES,
  REQUEST_TIMEOUT_MS,
  RETRY_JITTER,
  SEND_MS,
  SHOW_MS,
  YIELD_MS,
}
