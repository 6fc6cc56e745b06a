// Which requests get a line in the log.

/** All, those that failed (5xx), or none. */
const requestLogs = ['all', 'failures', 'none'] as const
type RequestLog = (typeof requestLogs)[number]

/** Text that is none of them counts as `all`. */
function parseRequestLog(text: string | undefined): RequestLog {
  return requestLogs.find((name) => name === text) ?? 'all'
}

export { parseRequestLog, type RequestLog }
