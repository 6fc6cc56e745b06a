// What a trained model says of images without labels, mini-batch by mini-batch.

import type { Backend } from '../../engine/backends/backends.ts'
import { createPixels, fillBatch } from '../../engine/datasets/index.ts'
import { bitsOfModel, type TrainedModel } from '../model-folder.ts'
import { createClassifier } from './classifier.ts'
import { type Ranked, rankClasses } from './csv.ts'
import { evaluationShare, imagesOf, type UnlabelledImage } from './images-of.ts'

type Said = { readonly kind: 'prediction'; readonly name: string; readonly ranked: Ranked[] } | Extract<UnlabelledImage, { kind: 'broken' }>

/** In the order of the images, but for broken ones, which come first of their mini-batch. Throws DatasetError. */
async function* predictImages({
  backend,
  model,
  path,
  classNames,
  top,
}: {
  backend: Backend
  model: TrainedModel
  path: string
  classNames: readonly string[]
  top: number
}): AsyncGenerator<Said> {
  const { space, description } = model
  const { normalisation, dataset } = description
  const shape = space.input
  const imageValues = shape[0] * shape[1] * shape[2]
  const classifier = createClassifier(backend, model)
  let names: string[] = []
  const bits = bitsOfModel(model)
  const pixels = createPixels(classifier.batchSize * imageValues, bits)

  const predictBatch = async (): Promise<Said[]> => {
    const count = names.length
    if (count === 0) return []
    const indices = Uint32Array.from({ length: count }, (_, at) => at)
    const split = { count, shape, images: pixels, labels: new Uint8Array(count) }
    const { images } = fillBatch({ split, indices, normalisation })
    const logits = await classifier.logits(images, count)
    const said = names.map((name, at) => {
      const row = logits.subarray(at * classNames.length, (at + 1) * classNames.length)
      return { kind: 'prediction' as const, name, ranked: rankClasses(row, classNames, top) }
    })
    names = []
    return said
  }

  try {
    for await (const image of imagesOf(path, shape, evaluationShare(dataset?.storage), bits)) {
      if (image.kind === 'broken') {
        yield image
        continue
      }
      pixels.set(image.pixels, names.length * imageValues)
      names.push(image.name)
      if (names.length === classifier.batchSize) yield* await predictBatch()
    }
    yield* await predictBatch()
  } finally {
    classifier.dispose()
  }
}

export { predictImages }
