// Numbers and names that all commands share which talk to a coordinator, each with its reason.

const DEFAULT_PORT = 8787
const DEFAULT_COORDINATOR_URL = `http://127.0.0.1:${DEFAULT_PORT}`
const DEFAULT_STATE_FOLDER = '.gatehouse'
/** In the state folder: the admin token that `gatehouse up` made. */
const ADMIN_TOKEN_FILE = 'admin-token'
/** The one before it, where somebody keeps it while it is replaced. */
const PREVIOUS_ADMIN_TOKEN_FILE = 'admin-token-previous'

/** Reads are tried this often: with the delays below a restart of the coordinator goes unnoticed. */
const READ_ATTEMPTS = 4
/** The delay before the second attempt; it doubles with each. The actual delay is drawn between half of it and all of it. */
const FIRST_RETRY_DELAY_MS = 250
const MAX_RETRY_DELAY_MS = 5000

/** How soon a command notices that the npm which started it has ended. */
const PARENT_POLL_MS = 500

export {
  ADMIN_TOKEN_FILE,
  PREVIOUS_ADMIN_TOKEN_FILE,
  DEFAULT_COORDINATOR_URL,
  DEFAULT_PORT,
  DEFAULT_STATE_FOLDER,
  FIRST_RETRY_DELAY_MS,
  MAX_RETRY_DELAY_MS,
  PARENT_POLL_MS,
  READ_ATTEMPTS,
}
