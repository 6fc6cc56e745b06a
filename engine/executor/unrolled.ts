// Gradients of a mixture through one weight step (DARTS: Liu, Simonyan and Yang 2019, equations 7 and 8, with the details of the authors'
// code). With p the weights of the mixed layers, w those of the network, and mu, v_0 and d the momentum, velocity and weight decay of the
// optimiser, the step looked ahead by is
//
//   w' = w - eta * (mu * v_0 + dL_train/dw(w, p) + d * w)
//
// and the gradient of L_val(w'(p), p) by p
//
//   dL_val/dp(w', p) - eta * d2L_train/dpdw(w, p) * v,        v = dL_val/dw'(w', p)
//
// whose second term is the difference of two gradients of p:
//
//   (dL_train/dp(w + R * v, p) - dL_train/dp(w - R * v, p)) / (2 * R),   R = 0.01 / |v|
//
// Four passes forward and back, and at one time a copy of the weights and two of their gradients. The weights stay as they are.

import * as tf from '@tensorflow/tfjs-core'

import { isWhole } from '../../search-space/weight-slices.ts'
import type { Batch, StepInput } from './batch-pass.ts'
import { addGradients, type GateGradient, type LossResult } from './gradient-sink.ts'
import { globalNorm } from './optimiser.ts'
import { readValues } from './read-values.ts'
import { createSgd, type Sgd } from './sgd.ts'
import { padToWhole } from './slices.ts'
import { gateStep, type TrainInput, trainStep } from './steps.ts'
import type { Weights } from './weights.ts'

/** R |v|. */
const PERTURBATION = 0.01

type UnrolledInput = Omit<StepInput, 'share'> &
  Pick<TrainInput, 'labelSmoothing'> & {
    /** The mini-batch of the weight step; `images` and `labels` are those of L_val. */
    readonly training: Batch
    /** Of the weight step; label smoothing is in L_train alone. */
    readonly optimiser: Pick<Sgd, 'readVelocity'>
    readonly momentum: number
    readonly weightDecay: number
    readonly learningRate: number
  }

type UnrolledResult = LossResult & {
  readonly peakBytes: number
  readonly mixtureGradients: readonly GateGradient[]
}

type Overlay = { readonly weights: Weights; dispose(): void }

/** The weights with some of them replaced, whose tensors are its own. */
function overlay(weights: Weights): Overlay {
  const own = new Map<string, tf.Tensor>()
  return {
    weights: {
      ...weights,
      get: (key) => own.get(key) ?? weights.get(key),
      replace(key, tensor) {
        own.get(key)?.dispose()
        own.set(key, tf.keep(tensor))
      },
    },
    dispose() {
      tf.dispose([...own.values()])
      own.clear()
    },
  }
}

/** w + scale * v; where v is of a part of a weight, the rest stays. */
function moved(weights: Weights, direction: ReadonlyMap<string, tf.Tensor>, scale: number): Overlay {
  const result = overlay(weights)
  for (const [key, gradient] of direction) {
    const next = tf.tidy(() => {
      const weight = weights.get(key)
      const whole = isWhole(weight.shape, gradient.shape) ? gradient : padToWhole(key, gradient, weight.shape)
      return tf.add(weight, tf.mul(whole, scale))
    })
    result.weights.replace(key, next)
  }
  return result
}

/** The weights after the step; disposes its gradients. */
async function stepAhead(input: UnrolledInput, gradients: ReadonlyMap<string, tf.Tensor>): Promise<Overlay> {
  const { weights, optimiser, momentum, weightDecay, learningRate } = input
  const ahead = createSgd({ momentum, nesterov: false, weightDecay })
  const result = overlay(weights)
  try {
    for (const key of gradients.keys()) {
      const velocity = await optimiser.readVelocity(key)
      if (velocity) ahead.writeVelocity(key, weights.spec(key).shape, velocity)
    }
    ahead.apply(result.weights, gradients, learningRate)
    return result
  } finally {
    ahead.clear()
  }
}

async function norm(tensors: ReadonlyMap<string, tf.Tensor>): Promise<number> {
  if (tensors.size === 0) return 0
  const total = globalNorm(tensors.values())
  const [value] = await readValues(total)
  total.dispose()
  return value as number
}

/** Of tensors with these shapes. */
function bytesOf(tensors: ReadonlyMap<string, tf.Tensor>): number {
  return [...tensors.values()].reduce((sum, { size }) => sum + size, 0) * Float32Array.BYTES_PER_ELEMENT
}

function scaled(gradients: readonly GateGradient[], factor: number): GateGradient[] {
  return gradients.map((block) => ({ ...block, gradients: block.gradients.map((value) => factor * value) }))
}

/** Loss after the step, and the gradient through it of every mixed layer that is a weighted sum. */
async function unrolledStep(input: UnrolledInput): Promise<UnrolledResult> {
  const { graph, weights, images, labels, accumulate, labelSmoothing, training, learningRate } = input
  const shared = { graph, ...(accumulate && { accumulate }) }
  const now = { ...shared, ...training, ...(labelSmoothing !== undefined && { labelSmoothing }) }
  const first = await trainStep({ ...now, weights })
  const ahead = await stepAhead(input, first.gradients)
  const after = await trainStep({ ...shared, images, labels, weights: ahead.weights, wantsMixture: true }).finally(() => ahead.dispose())
  const { loss, correct } = after
  try {
    const length = await norm(after.gradients)
    // Weights of another place are as large as their gradients.
    const bytes = bytesOf(after.gradients)
    const peaks = [first.peakBytes, bytes + after.peakBytes]
    let { mixtureGradients } = after
    if (length > 0) {
      const radius = PERTURBATION / length
      for (const sign of [1, -1]) {
        const beside = moved(weights, after.gradients, sign * radius)
        const { mixtureGradients: found, peakBytes } = await gateStep({ ...now, weights: beside.weights }).finally(() => beside.dispose())
        peaks.push(2 * bytes + peakBytes)
        mixtureGradients = addGradients(mixtureGradients, scaled(found, (-sign * learningRate) / (2 * radius)))
      }
    }
    return { loss, correct, mixtureGradients, peakBytes: Math.max(...peaks) }
  } finally {
    tf.dispose([...after.gradients.values()])
  }
}

export { unrolledStep, type UnrolledInput, type UnrolledResult }
