// Numbers on the command line, within bounds.

import { CliError } from './exit-codes.ts'

/** Throws CliError `usage`. */
function numberIn(flag: string, text: string, least: number, most: number, isWhole: boolean): number {
  const value = Number(text)
  if (text.trim() !== '' && value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value
  throw new CliError('usage', `expected --${flag} to be a ${isWhole ? 'whole ' : ''}number from ${least} to ${most}, got "${text}"`)
}

export { numberIn }
