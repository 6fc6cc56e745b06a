// One decoded dataset in one file, so that only the first start pays for unpacking, parsing and hashing.
//
//   8 bytes   "GHDATA03"
//   4 bytes   length of the header, little-endian
//   4 bytes   CRC-32 of the header, little-endian
//   header    JSON: what is needed to judge and use the rest
//   payload   train images, train labels, test images, test labels and, where there is a validation split, its images and labels

import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'

import * as z from 'zod'

import { createLabels, type ImageShape, type Labels, type MemoryDataset, type Split } from './dataset.ts'
import { reasonOf } from './errors.ts'
import { MAX_CACHE_HEADER_BYTES, MAX_CLASSES, MAX_FILE_BYTES } from './limits.ts'
import { bitsOfPixels, pixelBits, type Pixels, pixelsFrom } from './pixels.ts'
import { replaceFile } from './replace-file.ts'

/** The last two digits are the version: anything that changes what a reader makes of its files raises them. */
const MAGIC = 'GHDATA03'
const PREFIX_BYTES = 16

const sourceStampSchema = z.object({ path: z.string(), bytes: z.int().min(0), modifiedMs: z.number() })
/** Size and time of a source file: if either changes, the cache is stale. */
type SourceStamp = z.infer<typeof sourceStampSchema>

const positive = z.int().min(1)
const headerSchema = z.object({
  name: z.string(),
  shape: z.tuple([positive, positive, positive]),
  /** Of a value of an image. */
  bits: z.literal(pixelBits),
  classes: positive.max(MAX_CLASSES),
  classNames: z.array(z.string()).optional(),
  trainCount: positive,
  testCount: positive,
  validationCount: positive.optional(),
  fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  normalisation: z.object({ mean: z.array(z.number()), std: z.array(z.number().positive()) }),
  brokenFiles: z.array(z.string()).optional(),
  sources: z.array(sourceStampSchema),
  /** CRC-32 of the payload. */
  payloadCrc32: z.int().min(0),
})

type CacheResult = { kind: 'hit'; dataset: MemoryDataset } | { kind: 'absent' } | { kind: 'unusable'; reason: string }

/** Bytes as they lie in memory: values of two bytes are little-endian, as every processor that Node runs on stores them. */
function bytesOf(values: Labels | Pixels): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

function payloadParts({ train, test, validation }: MemoryDataset): Uint8Array[] {
  return [train, test, ...(validation ? [validation] : [])].flatMap(({ images, labels }) => [bytesOf(images), bytesOf(labels)])
}

/** Replaces the cache file, making its folder where needed. Throws what the file system throws. */
async function writeCacheFile(file: string, dataset: MemoryDataset, sources: readonly SourceStamp[]): Promise<void> {
  const { name, shape, classes, classNames, train, test, validation, fingerprint, normalisation, brokenFiles } = dataset
  const parts = payloadParts(dataset)
  const header = Buffer.from(
    JSON.stringify({
      name,
      shape,
      bits: bitsOfPixels(train.images),
      classes,
      classNames,
      trainCount: train.count,
      testCount: test.count,
      validationCount: validation?.count,
      fingerprint,
      normalisation,
      brokenFiles,
      sources,
      payloadCrc32: parts.reduce((crc, part) => crc32(part, crc), 0),
    }),
  )
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.write(MAGIC, 'latin1')
  prefix.writeUInt32LE(header.length, 8)
  prefix.writeUInt32LE(crc32(header), 12)
  await replaceFile(file, [prefix, header, ...parts])
}

/** Whole file in few large reads; `readFile` would read 512 KiB at a time. Undefined when there is none. */
async function readWhole(file: string): Promise<Buffer | undefined> {
  let handle
  try {
    handle = await open(file, 'r')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
  try {
    const { size } = await handle.stat()
    const bytes = Buffer.allocUnsafeSlow(size)
    let filled = 0
    while (filled < size) {
      const { bytesRead } = await handle.read(bytes, filled, Math.min(size - filled, MAX_FILE_BYTES), filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return bytes.subarray(0, filled)
  } finally {
    await handle.close()
  }
}

/** The dataset in the bytes of a cache file, or why it cannot be used. */
function parseCache(bytes: Buffer, sources: readonly SourceStamp[]): CacheResult {
  const unusable = (reason: string): CacheResult => ({ kind: 'unusable', reason })
  if (bytes.length < PREFIX_BYTES) return unusable(`it has only ${bytes.length} bytes`)
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return unusable(`it does not begin with ${MAGIC}`)
  const headerBytes = bytes.readUInt32LE(8)
  if (headerBytes > MAX_CACHE_HEADER_BYTES) return unusable(`its header claims ${headerBytes} bytes`)
  const headerText = bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + headerBytes)
  if (crc32(headerText) !== bytes.readUInt32LE(12)) return unusable('its header fails its checksum')
  const parsed = headerSchema.safeParse(JSON.parse(headerText.toString()))
  if (!parsed.success) return unusable('its header has another form')
  const { trainCount, testCount, validationCount = 0, payloadCrc32, sources: cachedSources, bits, ...described } = parsed.data
  if (JSON.stringify(cachedSources) !== JSON.stringify(sources)) return unusable('the source files have changed')

  const shape: ImageShape = described.shape
  const imageBytes = (shape[0] * shape[1] * shape[2] * bits) / 8
  const payload = bytes.subarray(PREFIX_BYTES + headerBytes)
  const expectedBytes = (trainCount + testCount + validationCount) * (imageBytes + createLabels(0, described.classes).BYTES_PER_ELEMENT)
  if (payload.length !== expectedBytes) {
    return unusable(`expected ${expectedBytes} bytes of images and labels, got ${payload.length}`)
  }
  if (crc32(payload) !== payloadCrc32) return unusable('its images and labels fail their checksum')

  let offset = payload.byteOffset
  const take = (length: number) => {
    const view = new Uint8Array(payload.buffer, offset, length)
    offset += length
    return view
  }
  const takeSplit = (count: number): Split => {
    const images = pixelsFrom(take(count * imageBytes), bits)
    const labels = createLabels(count, described.classes)
    bytesOf(labels).set(take(labels.byteLength))
    return { count, shape, images, labels }
  }
  const dataset = { storage: 'memory' as const, ...described, shape, train: takeSplit(trainCount), test: takeSplit(testCount) }
  return { kind: 'hit', dataset: validationCount > 0 ? { ...dataset, validation: takeSplit(validationCount) } : dataset }
}

/** Never throws: a cache that cannot be read is one to be rebuilt. */
async function readCacheFile(file: string, sources: readonly SourceStamp[]): Promise<CacheResult> {
  try {
    const bytes = await readWhole(file)
    return bytes === undefined ? { kind: 'absent' } : parseCache(bytes, sources)
  } catch (cause) {
    return { kind: 'unusable', reason: reasonOf(cause) }
  }
}

export { type CacheResult, readCacheFile, type SourceStamp, writeCacheFile }
