// The file of a search, written from a coordinator's pages and read again; and what is refused of one that is not whole.

import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CoordinatorClient } from '../../command-line/coordinator-client.ts'
import { exportSearch, readSearchFile } from '../../gatehouse/search-file.ts'
import type { RowPage, SearchFileHeader } from '../../protocol/index.ts'

const SEARCH_ID = 's0123456789ab'
const pages: RowPage[] = [
  { object: 'search', table: 'state', rows: [{ id: 1, json: '{"a":"é"}' }] },
  { object: 'search', table: 'log', rows: [{ seq: 1, json: '{}' }] },
  { object: 0, table: 'segments', rows: [{ row: 0, versions: '[1]', data: { base64: 'AAAAAA==' } }] },
]

let folder: string
let file: string
let revisions: string[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-file-'))
  file = join(folder, 'search.jsonl')
  revisions = ['one', 'one']
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** The calls of an export; the command over HTTP is in test/e2e. */
const client = {
  exportHead: async () => ({ searchId: SEARCH_ID, name: 'one', form: 7, shardForms: [2], revision: revisions.shift() ?? '' }),
  exportPage: async (_: string, object: unknown, cursor: string | null) => {
    const own = pages.filter((page) => page.object === object)
    const at = Number(cursor ?? 0)
    return { page: own[at] ?? null, next: at < own.length ? String(at + 1) : null }
  },
} as unknown as CoordinatorClient

async function readAll() {
  const parts: { header?: SearchFileHeader; page?: RowPage }[] = []
  for await (const part of readSearchFile(file)) parts.push(part)
  return parts
}

/** Text with a last line that fits it. */
function sealed(lines: readonly unknown[]): string {
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
  return `${text}${JSON.stringify({ lines: lines.length, sha256: createHash('sha256').update(text).digest('hex') })}\n`
}

describe('the file of a search', () => {
  it('has a header, every page as it came, and the hash of all bytes before its last line', async () => {
    const written = await exportSearch(client, SEARCH_ID, file, 5)
    const text = readFileSync(file, 'utf8')
    expect(written).toEqual({ bytes: Buffer.byteLength(text), lines: 5 })
    const [header, ...rest] = await readAll()
    expect(header).toMatchObject({ header: { format: 'gatehouse-search', version: 1, exportedAtMs: 5, form: 7, shardForms: [2] } })
    expect(rest.map(({ page }) => page)).toEqual(pages)
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown)
    expect(sealed(lines.slice(0, -1))).toBe(text)
  })

  it('is not there where the search changed meanwhile', async () => {
    revisions = ['one', 'two']
    await expect(exportSearch(client, SEARCH_ID, file, 5)).rejects.toThrow(/changed while it was exported/)
    expect([existsSync(file), existsSync(`${file}.part`)]).toEqual([false, false])
  })

  it.each<[string, (lines: string[]) => string, RegExp]>([
    ['with a byte changed', (lines) => lines.join('\n').replace('AAAAAA==', 'AAAAAB=='), /line 5, sha256/],
    ['cut behind a line', (lines) => `${lines.slice(0, 3).join('\n')}\n`, /line 3, lines/],
    ['cut within a line', (lines) => lines.join('\n').slice(0, -30), /line 5: not JSON/],
    ['without a line in between', (lines) => [...lines.slice(0, 2), ...lines.slice(3)].join('\n'), /line 4, lines: expected 3, got 4/],
    ['empty', () => '', /line 1: the file has no lines/],
    [
      'of a newer version',
      ([first, ...rest]) => sealed([{ ...JSON.parse(first ?? ''), version: 2 }, ...rest.slice(0, -1).map((line) => JSON.parse(line))]),
      /line 1, version/,
    ],
    ['of something else', () => sealed([{ format: 'other' }]), /line 1, format/],
  ])('is refused %s, line and field named', async (_, damage, says) => {
    await exportSearch(client, SEARCH_ID, file, 5)
    writeFileSync(file, damage(readFileSync(file, 'utf8').trimEnd().split('\n')))
    await expect(readAll()).rejects.toThrow(says)
  })
})
