// Files that a person names: latency tables and search spaces. Errors name the file and the field.

import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import * as z from 'zod'
import { CliError } from '../../../command-line/exit-codes.ts'
import { parseTable } from '../../../command-line/table-file.ts'
import { fieldErrors } from '../../../protocol/index.ts'
import { createSpace, presetNames, type Space, SpaceError, spaceRefSchema } from '../../../search-space/index.ts'
import { type LatencyTable, latencyTableSchema } from '../../table/table.ts'
import { type FormatName, formats, type TableContent, TableFormatError } from './formats/index.ts'
import { MAX_FILE_BYTES } from '../node/limits.ts'

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Throws CliError `usage`, naming the file. */
async function readTextFile(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes, expected ${MAX_FILE_BYTES} at most`)
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CliError('usage', `cannot read ${file}: ${reasonOf(error)}`)
  }
}

/** Throws CliError `usage`, naming the file. */
async function readJsonFile(file: string): Promise<unknown> {
  const text = await readTextFile(file)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CliError('usage', `${file} is not JSON: ${reasonOf(error)}`)
  }
}

/** Throws CliError `usage`, naming the file and each wrong field. */
async function readTableFile(file: string): Promise<LatencyTable> {
  return parseTable(file, await readJsonFile(file))
}

/** A latency table in any of the formats. Throws CliError `usage`, naming the file and each wrong line. */
async function readContentFile(file: string, format: FormatName): Promise<TableContent> {
  const text = await readTextFile(file)
  try {
    return formats[format].read(text)
  } catch (error) {
    if (!(error instanceof TableFormatError)) throw error
    const problems = error.problems.map(({ line, message }) => ({ path: `line ${line}`, message }))
    throw new CliError('usage', `${file} is not a latency table in ${format.toUpperCase()}`, problems)
  }
}

/** Throws CliError `usage` where there is a file that is no latency table, such as that of a space. */
async function assertReplaceable(file: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text === null) return
  if (!latencyTableSchema.safeParse(parsedJson(text)).success)
    throw new CliError('usage', `${file} is there, and is no latency table: expected --out with another name`)
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Throws CliError `usage` where that would replace something that is no latency table, `failure` where it cannot be written. */
async function writeTableFile(file: string, table: LatencyTable): Promise<void> {
  await assertReplaceable(file)
  await writeTextFile(file, formats.json.write(table))
}

/** Whole or not at all: a table cut off by an interrupt would be missing keys. Throws CliError `failure`. */
async function writeTextFile(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    await writeFile(temporary, text)
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw new CliError('failure', `cannot write ${file}: ${reasonOf(error)}`)
  }
}

/** The space that `--space` names: a preset, or `@file.json` with a space reference. Throws CliError `usage`. */
async function readSpace(text: string, folder: string): Promise<Space> {
  const isFile = text.startsWith('@')
  const parsed = spaceRefSchema.safeParse(isFile ? await readJsonFile(resolve(folder, text.slice(1))) : text)
  if (!parsed.success) {
    if (!isFile) throw new CliError('usage', `expected --space to be ${presetNames.join(', ')} or @FILE, got "${text}"`)
    throw new CliError('usage', `${text.slice(1)} is not a search space`, fieldErrors(parsed.error))
  }
  try {
    return createSpace(parsed.data)
  } catch (error) {
    if (error instanceof SpaceError) throw new CliError('usage', `${text}: ${error.message}`)
    if (error instanceof z.ZodError) throw new CliError('usage', `${text} is not a search space`, fieldErrors(error))
    throw error
  }
}

export { assertReplaceable, readContentFile, readSpace, readTableFile, writeTableFile, writeTextFile }
