// How often a command that waits for agents looks.

import type { ArgsDef } from 'citty'
import { numberIn } from '../../command-line/number-flags.ts'

const SECOND_MS = 1000

const intervalFlag = {
  interval: { type: 'string', valueHint: 'SECONDS', description: 'seconds between two looks', default: '5' },
} as const satisfies ArgsDef

/** Milliseconds. Throws CliError `usage`. */
function readInterval(text: string): number {
  return numberIn('interval', text, 0.1, 3600, false) * SECOND_MS
}

export { intervalFlag, readInterval }
