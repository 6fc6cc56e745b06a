// A search as a file (protocol/search-file.ts), written and read a line at a time: memory does not grow with the search.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import type * as z from 'zod'
import type { CoordinatorClient } from '../command-line/coordinator-client.ts'
import { CliError } from '../command-line/exit-codes.ts'
import {
  fieldErrors,
  MAX_SEARCH_FILE_LINE_BYTES,
  type RowPage,
  rowPageSchema,
  SEARCH_FILE_FORMAT,
  SEARCH_FILE_VERSION,
  searchFileEndSchema,
  type SearchFileHeader,
  searchFileHeaderSchema,
  type StoredObject,
  VERSION,
} from '../protocol/index.ts'

const NEWLINE = 0x0a

/** Bytes and lines of a file. */
type Written = { readonly bytes: number; readonly lines: number }

/**
 * Writes a search to a file, which is there as a whole or not at all. Throws CliError `conflict` where the search changed meanwhile.
 */
async function exportSearch(client: CoordinatorClient, searchId: string, path: string, nowMs: number): Promise<Written> {
  const { revision, ...head } = await client.exportHead(searchId)
  const partial = `${path}.part`
  const file = await open(partial, 'w', 0o600)
  const hash = createHash('sha256')
  let bytes = 0
  let lines = 0
  const write = async (line: object) => {
    const text = `${JSON.stringify(line)}\n`
    hash.update(text)
    bytes += (await file.write(text)).bytesWritten
    lines += 1
  }
  try {
    const format = { format: SEARCH_FILE_FORMAT, version: SEARCH_FILE_VERSION, exportedAtMs: nowMs, exportedBy: VERSION } as const
    await write({ ...format, ...head } satisfies SearchFileHeader)
    for (const object of ['search', ...head.shardForms.keys()] satisfies StoredObject[]) {
      let cursor: string | null = null
      do {
        const { page, next }: Awaited<ReturnType<CoordinatorClient['exportPage']>> = await client.exportPage(searchId, object, cursor)
        if (page) await write(page)
        cursor = next
      } while (cursor !== null)
    }
    if ((await client.exportHead(searchId)).revision !== revision) {
      throw new CliError('conflict', `search ${searchId} changed while it was exported; pause it, and export it again`)
    }
    await write({ lines, sha256: hash.copy().digest('hex') })
    await file.close()
    await rename(partial, path)
    return { bytes, lines }
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(partial, { force: true })
    throw error
  }
}

const damaged = (path: string, where: string, message: string) =>
  new CliError('usage', `${path} is no whole file of a search: ${where}: ${message}`, [{ path: where, message }])

/** The lines of a file, each with its newline. Throws CliError `usage` for one that is too long. */
async function* readLines(path: string): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let length = 0
  let number = 1
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...rest, chunk.subarray(from, end + 1)])
      number += 1
      rest = []
      length = 0
      from = end + 1
    }
    rest.push(chunk.subarray(from))
    length += chunk.length - from
    if (length > MAX_SEARCH_FILE_LINE_BYTES) throw damaged(path, `line ${number}`, `longer than ${MAX_SEARCH_FILE_LINE_BYTES} bytes`)
  }
  if (length > 0) yield Buffer.concat(rest)
}

function parseLine<S extends z.ZodType>(schema: S, line: Buffer, path: string, number: number): z.output<S> {
  let value: unknown
  try {
    value = JSON.parse(line.toString())
  } catch {
    throw damaged(path, `line ${number}`, 'not JSON')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [first] = fieldErrors(parsed.error)
  throw damaged(path, [`line ${number}`, first?.path].filter(Boolean).join(', '), first?.message ?? 'invalid')
}

type FilePart = { readonly kind: 'header'; readonly header: SearchFileHeader } | { readonly kind: 'page'; readonly page: RowPage }

/**
 * Header and pages of a file. Throws CliError `usage`, which names line and field, where anything is not as it was written, or a newer version
 * wrote it; the checksum is looked at behind the last page.
 */
async function* readSearchFile(path: string): AsyncGenerator<FilePart> {
  const hash = createHash('sha256')
  let number = 0
  let held: Buffer | null = null
  // A line is known to be the last one when there is no other.
  const take = (line: Buffer): FilePart => {
    number += 1
    hash.update(line)
    if (number === 1) return { kind: 'header', header: parseLine(searchFileHeaderSchema, line, path, number) }
    return { kind: 'page', page: parseLine(rowPageSchema, line, path, number) }
  }
  for await (const line of readLines(path)) {
    if (held) yield take(held)
    held = line
  }
  const end = held && number > 0 ? parseLine(searchFileEndSchema, held, path, number + 1) : null
  if (!end) throw damaged(path, 'line 1', 'the file has no lines')
  if (end.lines !== number) throw damaged(path, `line ${number + 1}, lines`, `expected ${number}, got ${end.lines}`)
  const sha256 = hash.digest('hex')
  if (end.sha256 !== sha256) throw damaged(path, `line ${number + 1}, sha256`, `the lines before have ${sha256}, got ${end.sha256}`)
}

/** Makes a new search of a file, after all of it was looked at. What is refused leaves nothing. */
async function importSearch(client: CoordinatorClient, path: string) {
  let header: SearchFileHeader | null = null
  for await (const part of readSearchFile(path)) if (part.kind === 'header') header = part.header
  if (!header) throw damaged(path, 'line 1', 'no header')
  const { form, shardForms, name } = header
  const searchId = await client.beginImport({ form, shardForms })
  try {
    for await (const part of readSearchFile(path)) if (part.kind === 'page') await client.importPage(searchId, part.page)
    return { ...(await client.finishImport(searchId)), name }
  } catch (error) {
    // Where it was refused there is nothing any more.
    await client.deleteSearch(searchId).catch(() => undefined)
    throw error
  }
}

export { exportSearch, importSearch, readSearchFile }
