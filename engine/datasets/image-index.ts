// What is known of each file of a folder of images: size in bytes, sha256, width, height and channels. Finding it out reads every
// file once; afterwards only files whose size or time has changed. Kept as one line of JSON per file after a line with a
// checksum of the rest, so that a cut or changed file is noticed and made again.

import { createHash } from 'node:crypto'
import type { Stats } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

import * as z from 'zod'

import { DatasetError, reasonOf } from './errors.ts'
import { readHeader } from './image-decoder.ts'
import { type ImagePlace, placeOf, readPlace } from './image-place.ts'
import { FILES_AT_ONCE, MAX_IMAGE_FILE_BYTES } from './limits.ts'
import type { PixelBits } from './pixels.ts'
import type { OnDatasetProgress } from './reader.ts'
import { replaceFile } from './replace-file.ts'

/** The last two digits are the version: anything that changes what a line means raises them. */
const MAGIC = 'GHINDEX04'

const recordSchema = z.object({
  /** Below the folder, with `/` between names. */
  path: z.string(),
  bytes: z.int().min(0),
  modifiedMs: z.number(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** As the image is looked at; both 0 where the header cannot be read. */
  width: z.int().min(0),
  height: z.int().min(0),
  /** After CMYK was converted; 0 where the header cannot be read. */
  channels: z.int().min(0),
  /** Why the header cannot be read. */
  broken: z.string().optional(),
})
type ImageRecord = z.infer<typeof recordSchema>

type IndexOptions = {
  readonly folder: string
  readonly paths: readonly string[]
  /** Of the values that images are decoded to. */
  readonly bits: PixelBits
  readonly cacheFile: string
  readonly onProgress?: OnDatasetProgress
}

/** Never throws: an index that cannot be read is one to be made again. */
async function readIndexFile(file: string, onProgress?: OnDatasetProgress): Promise<Map<string, ImageRecord>> {
  try {
    const bytes = await readFile(file)
    const lineEnd = bytes.indexOf(0x0a)
    const body = bytes.subarray(lineEnd + 1)
    if (bytes.toString('latin1', 0, lineEnd) !== `${MAGIC} ${crc32(body)}`) throw new Error('it fails its checksum')
    const lines = body.toString('utf8').split('\n').filter(Boolean)
    return new Map(lines.map((line) => recordSchema.parse(JSON.parse(line))).map((record) => [record.path, record]))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT')
      onProgress?.({ kind: 'rebuilding-cache', cacheFile: file, reason: reasonOf(cause) })
    return new Map()
  }
}

async function writeIndexFile(file: string, records: readonly ImageRecord[]): Promise<void> {
  const body = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(''))
  await replaceFile(file, [`${MAGIC} ${crc32(body)}\n`, body])
}

/** What the system says of files, asked once of an archive that holds many images. */
type StatFile = (place: ImagePlace) => Promise<Stats>

function createStatFile(): StatFile {
  const archives = new Map<string, Promise<Stats>>()
  return ({ file, part }) => {
    if (part === null) return stat(file)
    const known = archives.get(file) ?? stat(file)
    archives.set(file, known)
    return known
  }
}

async function examine(
  folder: string,
  path: string,
  { bits, statFile }: { bits: PixelBits; statFile: StatFile },
  known: ImageRecord | undefined,
): Promise<ImageRecord> {
  const place = placeOf(folder, path)
  const { file, part } = place
  try {
    const { size: fileBytes, mtimeMs } = await statFile(place)
    const size = part?.bytes ?? fileBytes
    if (known !== undefined && known.bytes === size && known.modifiedMs === mtimeMs) return known
    if (size > MAX_IMAGE_FILE_BYTES) {
      throw new DatasetError('too-large', `expected ${file} to have at most ${MAX_IMAGE_FILE_BYTES} bytes, got ${size}`, { file })
    }
    const bytes = await readPlace(place)
    const found = { path, bytes: size, modifiedMs: mtimeMs, sha256: createHash('sha256').update(bytes).digest('hex') }
    return await readHeader(bytes, bits).then(
      ({ width, height, channels }) => ({ ...found, width, height, channels }),
      (cause: unknown) => ({ ...found, width: 0, height: 0, channels: 0, broken: reasonOf(cause) }),
    )
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause
    throw new DatasetError('file-unreadable', `cannot read ${file}: ${reasonOf(cause)}`, { file, cause })
  }
}

/** Calls `body` for 0 … count − 1, at most FILES_AT_ONCE at a time. The first error ends it. */
async function forEachAtOnce(count: number, body: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const work = async () => {
    while (next < count) await body(next++)
  }
  try {
    await Promise.all(Array.from({ length: Math.min(count, FILES_AT_ONCE) }, work))
  } finally {
    next = count
  }
}

/** One record per path, in their order. Throws a `DatasetError` for a file that cannot be read. */
async function indexImages({ folder, paths, bits, cacheFile, onProgress }: IndexOptions): Promise<ImageRecord[]> {
  const known = await readIndexFile(cacheFile, onProgress)
  const records: ImageRecord[] = []
  const statFile = createStatFile()
  let changed = known.size !== paths.length
  let doneFiles = 0
  await forEachAtOnce(paths.length, async (index) => {
    const path = paths[index] as string
    const before = known.get(path)
    const record = await examine(folder, path, { bits, statFile }, before)
    records[index] = record
    doneFiles += 1
    if (record === before) return
    changed = true
    onProgress?.({ kind: 'reading', file: join(folder, path), doneFiles, totalFiles: paths.length })
  })
  if (changed) {
    await writeIndexFile(cacheFile, records).catch((cause: unknown) =>
      onProgress?.({ kind: 'cache-not-written', cacheFile, reason: reasonOf(cause) }),
    )
  }
  return records
}

export { forEachAtOnce, type ImageRecord, indexImages }
