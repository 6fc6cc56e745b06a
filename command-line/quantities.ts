// Numbers as people read them. Every figure carries its unit.

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

function printCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** Three significant digits or so: 0.0123, 1.23, 12.3, 123. */
function printDecimal(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size !== 0 && size < 0.001) return value.toExponential(2)
  return value.toFixed(size < 0.1 ? 4 : size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0)
}

function printLatency(latencyMs: number): string {
  return `${printDecimal(latencyMs)} ms`
}

/** A share of 1 in percent. */
function printShare(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

/** A count in millions or thousands: 23.4 M. */
function printLarge(count: number): string {
  if (count >= 1e9) return `${printDecimal(count / 1e9)} G`
  if (count >= 1e6) return `${printDecimal(count / 1e6)} M`
  if (count >= 1e4) return `${printDecimal(count / 1e3)} k`
  return printCount(count)
}

/** Decimal units, as lines are sold: 950 B, 12.3 kB, 4.56 MB. */
function printBytes(bytes: number): string {
  if (bytes >= 1e9) return `${printDecimal(bytes / 1e9)} GB`
  if (bytes >= 1e6) return `${printDecimal(bytes / 1e6)} MB`
  if (bytes >= 1e3) return `${printDecimal(bytes / 1e3)} kB`
  return `${Math.round(bytes)} B`
}

/** The two largest units: 2 h 5 min, 4 min 10 s, 12 s. */
function printDuration(durationMs: number): string {
  const left = Math.max(0, durationMs)
  if (left >= DAY_MS) return `${Math.floor(left / DAY_MS)} d ${Math.floor((left % DAY_MS) / HOUR_MS)} h`
  if (left >= HOUR_MS) return `${Math.floor(left / HOUR_MS)} h ${Math.floor((left % HOUR_MS) / MINUTE_MS)} min`
  if (left >= MINUTE_MS) return `${Math.floor(left / MINUTE_MS)} min ${Math.floor((left % MINUTE_MS) / SECOND_MS)} s`
  return `${Math.floor(left / SECOND_MS)} s`
}

/** UTC to the second, which sorts as text. */
function printTime(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

export { printBytes, printCount, printDecimal, printDuration, printLarge, printLatency, printShare, printTime }
