// One line of standard error that is redrawn while something is measured; nothing where standard error is no terminal.

import type { MeasureProgress } from '../node/measure.ts'

/** With its text still shorter than any terminal, so that it never wraps. */
const BAR_WIDTH = 24
/** Carriage return, then erase to the end of the line. */
const START_LINE = '\r\u001b[K'

function createProgressBar(stream: NodeJS.WriteStream): (progress: MeasureProgress) => void {
  if (!stream.isTTY || process.env['TERM'] === 'dumb') return () => {}
  return ({ share, rounds, relativeHalfWidth }) => {
    if (share >= 1) {
      stream.write(START_LINE)
      return
    }
    const done = Math.round(share * BAR_WIDTH)
    const precision = Number.isFinite(relativeHalfWidth) ? `, known to ${(100 * relativeHalfWidth).toFixed(1)} %` : ''
    stream.write(`${START_LINE}[${'#'.repeat(done)}${'.'.repeat(BAR_WIDTH - done)}] ${rounds} rounds${precision}`)
  }
}

export { createProgressBar }
