// What an exported network costs in TensorFlow.js, as layers and as a graph, beside the network that latency tables measure: in turns within one
// run, so that whatever else the machine does falls on all three.
//
//   npm run bench:tfjs-exports -- [--space mobilenet-v2] [--rounds 30]

import { parseArgs } from 'node:util'
import * as tf from '@tensorflow/tfjs-core'
import { loadLayersModel } from '@tensorflow/tfjs-layers'
import { median } from '../latency-lut/table/robust.ts'
import { openBackend } from '../engine/backends/backends.ts'
import { createInference } from '../engine/executor/index.ts'
import { writeTfjsGraphModel, writeTfjsLayers } from '../models/export/tfjs-layers.ts'
import { createSpace, printArchitecture, spaceRefSchema } from '../search-space/index.ts'
import { loadGraph } from '../test/fixtures/graph-model.ts'
import { makeModel, randomImages } from '../test/fixtures/trained-models.ts'

const WARM_UP_ROUNDS = 3

const { values: flags } = parseArgs({
  options: { space: { type: 'string', default: 'mobilenet-v2' }, rounds: { type: 'string', default: '30' } },
})
const ref = spaceRefSchema.parse(flags.space)
const space = createSpace(ref)
const model = makeModel({
  space: ref,
  architecture: printArchitecture(
    space,
    space.decisions.map(() => 0),
  ),
})
const { chosen } = await openBackend('wasm')
const weights = (key: string) => model.weights.get(key)?.values as Float32Array
const options = { fold: true, withPreprocessing: false }

async function loadLayers() {
  const [file, ...shards] = writeTfjsLayers(model, options)
  const description = JSON.parse(file?.content as string) as {
    modelTopology: object
    weightsManifest: [{ weights: tf.io.WeightsManifestEntry[] }]
  }
  const bytes = new Uint8Array(Buffer.concat(shards.map(({ content }) => content as Uint8Array)))
  return loadLayersModel(
    tf.io.fromMemory({ ...description, weightSpecs: description.weightsManifest[0].weights, weightData: bytes.buffer }),
  )
}

const layers = await loadLayers()
const graph = await loadGraph(writeTfjsGraphModel(model, options))
const inference = createInference({ graph: space.network(model.path), weights, statistics: model.statistics })
const images = tf.tensor4d(randomImages(1, space.input), [1, ...space.input])
const runs = {
  measured: () => inference.run(images),
  graph: () => graph.predict(images),
  layers: () => layers.predict(images) as tf.Tensor,
}
const times = new Map(Object.keys(runs).map((name) => [name, [] as number[]]))
for (let round = 0; round < Number(flags.rounds) + WARM_UP_ROUNDS; round++) {
  for (const [name, run] of Object.entries(runs)) {
    const startMs = performance.now()
    const output = run()
    output.dataSync()
    if (round >= WARM_UP_ROUNDS) times.get(name)?.push(performance.now() - startMs)
    output.dispose()
  }
}
const [measured = 0] = [median(times.get('measured') ?? [])]
console.log(`${space.name}, ${chosen.description}, batch 1, median of ${flags.rounds} rounds`)
for (const [name, all] of times) {
  const own = median(all)
  console.log(`${name.padEnd(9)} ${own.toFixed(2)} ms  ${((own / measured - 1) * 100).toFixed(0)} % more than what tables measure`)
}
