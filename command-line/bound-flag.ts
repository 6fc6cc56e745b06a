// Bounds on costs as a flag: COST=VALUE.

import { CliError } from './exit-codes.ts'

const boundFlag = {
  type: 'string',
  valueHint: 'COST=VALUE',
  description: 'what the architecture may cost at most: macs=60e6, parameters=…, weightBytes=…, latencyMs=…',
} as const

/** As `bounds` of a search has them. Throws CliError `usage`. */
function parseBound(text: string): { cost: string; atMost: number } {
  const at = text.lastIndexOf('=')
  const value = text.slice(at + 1).trim()
  const atMost = Number(value)
  if (at > 0 && value !== '' && Number.isFinite(atMost)) return { cost: text.slice(0, at).trim(), atMost }
  throw new CliError('usage', `expected --bound as COST=VALUE, for example macs=60e6, got "${text}"`)
}

export { boundFlag, parseBound }
