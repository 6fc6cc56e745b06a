// Follows a search to its end. A coordinator that is away for a while is waited for: the search goes on without us.

import type { Phase, SearchStatus } from '../protocol/index.ts'
import { ClientError, type CoordinatorClient, pause } from '../command-line/coordinator-client.ts'
import { MAX_RETRY_DELAY_MS } from '../command-line/limits.ts'
import { WATCH_LOG_INTERVAL_MS, WATCH_TERMINAL_INTERVAL_MS } from './limits.ts'
import { printDuration } from '../command-line/quantities.ts'
import { renderStatus, renderStatusLine } from './render-status.ts'
import type { Terminal } from '../command-line/terminal.ts'
import { cutText } from '../command-line/text-layout.ts'

const endPhases: ReadonlySet<Phase> = new Set(['finished', 'stopped'])

type WatchOptions = {
  /** Redraws a screen on standard output rather than adding lines to standard error. */
  readonly live: boolean
  /** Milliseconds between two looks. Default 1 s live, 5 s otherwise. */
  readonly intervalMs?: number | undefined
}

/** Returns the status at the end. Throws ClientError where trying again is of no use, such as a deleted search. */
async function watchSearch(terminal: Terminal, client: CoordinatorClient, searchId: string, options: WatchOptions): Promise<SearchStatus> {
  const intervalMs = options.intervalMs ?? (options.live ? WATCH_TERMINAL_INTERVAL_MS : WATCH_LOG_INTERVAL_MS)
  const screen = createScreen(terminal)
  let last: SearchStatus | null = null
  let awaySinceMs: number | null = null
  for (;;) {
    let trouble: string | null = null
    try {
      last = await client.searchStatus(searchId)
      if (awaySinceMs !== null && !options.live) terminal.note(`coordinator is back after ${printDuration(Date.now() - awaySinceMs)}`)
      awaySinceMs = null
    } catch (error) {
      // A restarting coordinator may also fail with status 500 for a moment.
      if (!(error instanceof ClientError) || !(error.isTemporary || error.problem === 'internal')) throw error
      if (awaySinceMs === null && !options.live) terminal.note(`${error.message}; still trying`)
      awaySinceMs ??= Date.now()
      trouble = `no answer for ${printDuration(Date.now() - awaySinceMs)}, still trying: ${error.message}`
    }
    if (options.live) screen.draw(drawing(terminal, last, trouble))
    else if (last !== null && trouble === null) terminal.note(`${new Date().toISOString().slice(11, 19)}  ${renderStatusLine(last)}`)
    if (last !== null && trouble === null && endPhases.has(last.phase)) return last
    const delayMs = trouble === null ? intervalMs : Math.min(MAX_RETRY_DELAY_MS, intervalMs * 2) * (0.5 + 0.5 * Math.random())
    await pause(delayMs, terminal.interrupted)
  }
}

function drawing(terminal: Terminal, status: SearchStatus | null, trouble: string | null): string {
  const width = terminal.columns()
  const lines = status === null ? [] : renderStatus(status, width).split('\n')
  if (trouble !== null) lines.push('', cutText(trouble, width))
  return lines.join('\n')
}

/** Text that each drawing replaces, on the ordinary screen, so that the last one stays. */
function createScreen(terminal: Terminal): { draw(text: string): void } {
  let drawnLines = 0
  return {
    draw(text) {
      // The cursor cannot go up beyond the window's top: what does not fit is left out.
      const lines = text.split('\n').slice(0, Math.max(1, terminal.rows() - 1))
      const up = drawnLines > 0 ? `\x1b[${drawnLines}A` : ''
      terminal.write(`${up}\r\x1b[0J${lines.join('\n')}\n`)
      drawnLines = lines.length
    },
  }
}

export { watchSearch, type WatchOptions }
