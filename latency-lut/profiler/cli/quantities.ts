// Numbers that a person gives to a flag.

import { CliError } from '../../../command-line/exit-codes.ts'

/** A whole number from `least` to `most`. Throws CliError `usage`. */
function wholeNumber(flag: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= least && value <= most) return value
  throw new CliError('usage', `expected --${flag} to be a whole number from ${least} to ${most}, got "${text}"`)
}

/** A number above 0, at most `most`. Throws CliError `usage`. */
function positiveNumber(flag: string, text: string, most: number): number {
  const value = Number(text)
  if (value > 0 && value <= most) return value
  throw new CliError('usage', `expected --${flag} to be a number above 0, at most ${most}, got "${text}"`)
}

export { positiveNumber, wholeNumber }
