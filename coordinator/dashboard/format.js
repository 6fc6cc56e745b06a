// Numbers as people read them. One language, so that figures look the same in every browser and screenshot.

const NOTHING = '–'
const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** Digits of a table version that are enough to tell versions apart by eye. */
const VERSION_DIGITS = 10

const integer = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const threeDigits = new Intl.NumberFormat('en', { minimumSignificantDigits: 3, maximumSignificantDigits: 3 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })
const dateTime = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' })

/** @param {number | null} value */
export const formatCount = (value) => (value === null ? NOTHING : integer.format(value))

/** 12.3, 0.0456, 1,230: three significant digits, whole above 100. @param {number | null} value */
export function formatFigure(value) {
  if (value === null) return NOTHING
  if (value === 0) return '0'
  return Math.abs(value) >= 100 ? integer.format(value) : threeDigits.format(value)
}

/** @param {number | null} value */
export const formatLoss = (value) => (value === null ? NOTHING : value.toFixed(3))

/** @param {number | null} valueMs */
export const formatMs = (valueMs) => (valueMs === null ? NOTHING : `${formatFigure(valueMs)} ms`)

/** @param {number | null} share 0 to 1 */
export const formatShare = (share) => (share === null ? NOTHING : `${(share * 100).toFixed(1)} %`)

/** 1.2M, 340K. @param {number | null} value */
export const formatCompact = (value) => (value === null ? NOTHING : compact.format(value))

/** Decimal units, as lines are sold: 950 B, 12.3 kB, 4.56 MB. @param {number | null} bytes */
export function formatBytes(bytes) {
  if (bytes === null) return NOTHING
  if (bytes >= 1e9) return `${formatFigure(bytes / 1e9)} GB`
  if (bytes >= 1e6) return `${formatFigure(bytes / 1e6)} MB`
  return bytes >= 1e3 ? `${formatFigure(bytes / 1e3)} kB` : `${formatCount(bytes)} B`
}

/** @param {number | null} atMs */
export const formatTime = (atMs) => (atMs === null ? NOTHING : dateTime.format(atMs))

/** @param {string} version hexadecimal digits */
export const formatVersion = (version) => version.slice(0, VERSION_DIGITS)

/** 38 s, 12 min, 3 h 05 min, 2 d 4 h. @param {number | null} durationMs */
export function formatDuration(durationMs) {
  if (durationMs === null) return NOTHING
  const ms = Math.max(0, durationMs)
  if (ms < MINUTE_MS) return `${Math.round(ms / SECOND_MS)} s`
  if (ms < 10 * MINUTE_MS) return `${Math.floor(ms / MINUTE_MS)} min ${pad(Math.floor((ms % MINUTE_MS) / SECOND_MS))} s`
  if (ms < HOUR_MS) return `${Math.round(ms / MINUTE_MS)} min`
  if (ms < DAY_MS) return `${Math.floor(ms / HOUR_MS)} h ${pad(Math.floor((ms % HOUR_MS) / MINUTE_MS))} min`
  return `${Math.floor(ms / DAY_MS)} d ${Math.floor((ms % DAY_MS) / HOUR_MS)} h`
}

/** One unit is enough for something past: 38 s ago, 12 min ago, 3 h ago. @param {number} durationMs */
export function formatAgo(durationMs) {
  const ms = Math.max(0, durationMs)
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s ago`
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min ago`
  return ms < DAY_MS ? `${Math.floor(ms / HOUR_MS)} h ago` : `${Math.floor(ms / DAY_MS)} d ago`
}

/** @param {number} value */
const pad = (value) => String(value).padStart(2, '0')
