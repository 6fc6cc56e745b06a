// Which images a global step trains on. A pure function of (share, batch size, step, seed), so that machines working on
// different steps take disjoint batches without a word between them:
//
//   batchesPerEpoch = floor(share length / batch size)
//   epoch           = floor(step / batchesPerEpoch)
//   batch           = slice number (step mod batchesPerEpoch) of the share shuffled by (seed, epoch)
//
// The remainder is left out of an epoch; each epoch's shuffle leaves out other images.

import { createRandom, seedState } from '../../search-space/random.ts'
import { DatasetError } from './errors.ts'
import { KEPT_EPOCH_ORDERS } from './limits.ts'

type EpochOrder = { seed: number | string; epoch: number; order: Uint32Array }

/** Most recently used last. Only saves time: an order is the same whenever it is made again. */
const keptOrders = new WeakMap<Uint32Array, EpochOrder[]>()

function epochOrder(share: Uint32Array, seed: number | string, epoch: number): Uint32Array {
  const kept = keptOrders.get(share) ?? []
  const at = kept.findIndex((item) => item.seed === seed && item.epoch === epoch)
  const found =
    at >= 0
      ? (kept.splice(at, 1)[0] as EpochOrder)
      : { seed, epoch, order: createRandom(seedState('epoch', seed, epoch)).shuffle(share.slice()) }
  kept.push(found)
  if (kept.length > KEPT_EPOCH_ORDERS) kept.shift()
  keptOrders.set(share, kept)
  return found.order
}

/** `batchSize` indices from `share`, which must not be changed between calls. */
function batchIndices(share: Uint32Array, batchSize: number, step: number, seed: number | string): Uint32Array {
  if (!(Number.isInteger(batchSize) && batchSize >= 1 && Number.isSafeInteger(step) && step >= 0)) {
    throw new DatasetError(
      'bad-batch',
      `expected a batch size of at least 1 and a step of at least 0, both integers, got ${batchSize} and ${step}`,
    )
  }
  const batchesPerEpoch = Math.floor(share.length / batchSize)
  if (batchesPerEpoch === 0) {
    throw new DatasetError(
      'share-too-small',
      `expected a share of at least one batch of ${batchSize} images, got ${share.length}; ` +
        'use a smaller batch, more images or a larger fraction for this share',
    )
  }
  const epoch = Math.floor(step / batchesPerEpoch)
  const from = (step % batchesPerEpoch) * batchSize
  return epochOrder(share, seed, epoch).slice(from, from + batchSize)
}

export { batchIndices }
