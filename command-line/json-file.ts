// JSON files that a person names.

import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { CliError } from './exit-codes.ts'

/** Throws CliError `usage`, naming the file, if it cannot be read or is not JSON. */
async function readJsonFile(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new CliError('usage', `cannot read ${file} as JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Value of a flag that may be `@FILE`: the JSON text of that file, any other text as it is. Throws CliError `usage`. */
async function textOrFile(folder: string, text: string): Promise<string> {
  return text.startsWith('@') ? JSON.stringify(await readJsonFile(resolve(folder, text.slice(1)))) : text
}

/** Settings that are JSON, or else a name. `what` is said of JSON that is none. Throws CliError `usage`. */
function jsonOrName(what: string, text: string): unknown {
  if (!text.trimStart().startsWith('{')) return text
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CliError('usage', `${what} is not valid JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

export { jsonOrName, readJsonFile, textOrFile }
