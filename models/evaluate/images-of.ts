// Images without labels, one after another: a file, all files in a folder and those below it, or a file of IDX images; each as values of the
// network's input, cut as evaluation cuts.

import { readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import {
  channelMismatch,
  coverBox,
  DatasetError,
  EVALUATION_SHARE,
  type ImageShape,
  listImageFiles,
  parseIdxImages,
  type PixelBits,
  type Pixels,
  readPackedFile,
  widenBytes,
} from '../../engine/datasets/index.ts'

type UnlabelledImage =
  | { readonly kind: 'image'; readonly name: string; readonly pixels: Pixels }
  | { readonly kind: 'broken'; readonly name: string; readonly reason: string }

const IDX_NAME = /idx\d-ubyte(\.gz)?$/

/**
 * @param share of the part of an image that covers the input: 1 for a model whose training images were kept in memory, which are not cut
 * @param bits of a value
 *
 * Throws DatasetError for a path that is not there or has no images, and for IDX images of another size.
 */
async function* imagesOf(path: string, input: ImageShape, share: number, bits: PixelBits): AsyncGenerator<UnlabelledImage> {
  const found = await stat(path).catch((cause: Error) => {
    throw new DatasetError('file-unreadable', `cannot read ${path}: ${cause.message}`, { file: path, cause })
  })
  if (!found.isDirectory() && IDX_NAME.test(basename(path))) {
    yield* idxImages(path, input, bits)
    return
  }
  const names = found.isDirectory() ? await listImageFiles(path) : ['']
  if (names.length === 0)
    throw new DatasetError('empty-dataset', `expected images in ${path} or folders below it, got none`, { file: path })
  const { decodeBox, readHeader } = await import('../../engine/datasets/image-decoder.ts')
  for (const name of names) {
    const file = name === '' ? path : join(path, name)
    const shown = name === '' ? basename(path) : name
    try {
      const header = await readHeader(await readFile(file), bits)
      const mismatch = channelMismatch(header.channels, input[2])
      if (mismatch !== null) {
        yield { kind: 'broken', name: shown, reason: mismatch }
        continue
      }
      const box = coverBox(header, { height: input[0], width: input[1] }, share)
      const pixels = await decodeBox({ file, part: null }, header, box, input, bits)
      yield { kind: 'image', name: shown, pixels }
    } catch (error) {
      yield { kind: 'broken', name: shown, reason: (error as Error).message }
    }
  }
}

async function* idxImages(file: string, input: ImageShape, bits: PixelBits): AsyncGenerator<UnlabelledImage> {
  const { count, shape, images } = parseIdxImages(await readPackedFile(file), file)
  if (shape.join() !== input.join()) {
    throw new DatasetError('shape-mismatch', `expected images of ${input.join('×')}, got ${shape.join('×')} in ${file}`, { file })
  }
  const values = shape[0] * shape[1] * shape[2]
  const all = bits === 16 ? widenBytes(images) : images
  for (let at = 0; at < count; at++) yield { kind: 'image', name: `image ${at}`, pixels: all.subarray(at * values, (at + 1) * values) }
}

/** Of the part of an image that covers the input, how much of each side a model sees, by where its training images were. */
function evaluationShare(storage: 'memory' | 'files' | undefined): number {
  return storage === 'memory' ? 1 : EVALUATION_SHARE
}

export { evaluationShare, imagesOf, type UnlabelledImage }
