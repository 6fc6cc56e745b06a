// Numbers of the command line tool, in one place, each with its reason.

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
  FIRST_ANSWER_WAIT_MS,
  NEIGHBOUR_TIMEOUT_MS,
  PROCESS_EXIT_WAIT_MS,
  PROCESS_POLL_MS,
  WATCH_LOG_INTERVAL_MS,
  WATCH_TERMINAL_INTERVAL_MS,
}
