// Mean and deviation of a folder that stays in its files, kept beside its index: images of many megapixels take half a minute to take them from.

import { readFile } from 'node:fs/promises'
import * as z from 'zod'

import type { ImageShape, Normalisation } from './dataset.ts'
import { reasonOf } from './errors.ts'
import { type PixelBits, pixelBits } from './pixels.ts'
import type { OnDatasetProgress } from './reader.ts'
import { replaceFile } from './replace-file.ts'

/** The number is the version: anything that changes what is taken of images raises it. */
const FORMAT = 'gatehouse-normalisation/1'

/** What the figures are of. */
type Source = { readonly fingerprint: string; readonly shape: ImageShape; readonly bits: PixelBits }

const fileSchema = z.strictObject({
  format: z.literal(FORMAT),
  fingerprint: z.string(),
  shape: z.tuple([z.int(), z.int(), z.int()]),
  bits: z.literal(pixelBits),
  mean: z.array(z.number()),
  std: z.array(z.number().positive()),
})

/** Undefined: it is not there, or of other images. Throws for one that is damaged. */
async function readNormalisation(file: string, { fingerprint, shape, bits }: Source): Promise<Normalisation | undefined> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
  if (text === undefined) return undefined
  const kept = fileSchema.parse(JSON.parse(text))
  const isSame = kept.fingerprint === fingerprint && kept.shape.join() === shape.join() && kept.bits === bits
  return isSame && kept.mean.length === shape[2] && kept.std.length === shape[2] ? { mean: kept.mean, std: kept.std } : undefined
}

/** The figures that are kept in `file`, or those that `take` takes, which are kept then. Throws what `take` throws. */
async function keptNormalisation(
  file: string,
  source: Source,
  take: () => Promise<Normalisation>,
  onProgress?: OnDatasetProgress,
): Promise<Normalisation> {
  const kept = await readNormalisation(file, source).catch(() => {
    onProgress?.({ kind: 'rebuilding-cache', cacheFile: file, reason: 'it is no file of mean and deviation' })
    return undefined
  })
  if (kept !== undefined) return kept
  const taken = await take()
  await replaceFile(file, [`${JSON.stringify({ format: FORMAT, ...source, ...taken })}\n`]).catch((cause: unknown) =>
    onProgress?.({ kind: 'cache-not-written', cacheFile: file, reason: reasonOf(cause) }),
  )
  return taken
}

export { keptNormalisation }
