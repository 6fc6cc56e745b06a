// How long agents of a training wait.

/** An agent that waits asks again after so long, or when the lease ends that it waits for. */
const MIN_WAIT_MS = 250
const MAX_WAIT_MS = 10_000
/** Where the files are not there that it begins with: they come right after it was created. */
const INPUT_WAIT_MS = 1000

export { INPUT_WAIT_MS, MAX_WAIT_MS, MIN_WAIT_MS }
