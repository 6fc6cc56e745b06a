// JSON files that a person names.

import { readFile } from 'node:fs/promises'
import { CliError } from './exit-codes.ts'

/** Throws CliError `usage`, naming the file, if it cannot be read or is not JSON. */
async function readJsonFile(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new CliError('usage', `cannot read ${file} as JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

export { readJsonFile }
