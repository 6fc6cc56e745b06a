// What is at the places of a network: layers and names of what is measured. A convolution is batch-norm, ReLU, convolution, without bias, and the
// stem a convolution alone, as in DenseNet.
//
// A reader computes conv(ReLU(BN(concat(x_1, …, x_n)))) of the outputs that it reads. A filter over concatenated channels is as many filters
// side by side, and batch-norm and ReLU work channel by channel, so that this is
//
//   Σ_i conv_i(ReLU(BN_i(x_i)))
//
// and each pair of reader and output has weights of its own, whatever else is read. Where nothing is chosen the network has the one
// convolution; elsewhere inference joins them (../../join-convolutions.ts).

import type { LatencyOperation } from '../../latency-key.ts'
import type { Shape } from '../../layer-graph.ts'
import { createPartWriter, type Written } from '../part-writer.ts'
import type { Place } from '../places.ts'
import { TRANSITION_SCALE } from './plan.ts'

const STEM_KERNEL = 3

/** What all places need to know of the network's settings. */
type Norms = { readonly batchNormEpsilon: number }

function stemAt(input: Shape, output: Shape, stride: number, { batchNormEpsilon }: Norms): Place {
  return {
    name: 'stem',
    operation: 'conv',
    from: input,
    key: { type: 'PlainConv', input, output, kernel: STEM_KERNEL, stride },
    write(id) {
      const writer = createPartWriter('stem', input, batchNormEpsilon)
      return writer.done(writer.conv('conv', id, STEM_KERNEL, stride, output))
    },
  }
}

/** Batch-norm, ReLU, convolution. */
function convolutionAt(name: string, operation: string, from: Shape, kernel: number, shape: Shape, { batchNormEpsilon }: Norms): Place {
  return {
    name,
    operation,
    from,
    key: { type: 'NormReluConv', input: from, output: shape, kernel, stride: 1 },
    write(id): Written {
      const writer = createPartWriter(name, from, batchNormEpsilon)
      return writer.done(writer.conv('conv', writer.activate('conv', writer.norm('conv', id), 'relu'), kernel, 1, shape))
    },
  }
}

/** Of two images of one shape. By itself it adds one to itself. */
function additionAt(name: string, shape: Shape, other?: string): Place {
  return {
    name,
    operation: 'sum',
    from: shape,
    key: { type: 'Add', input: shape, output: shape },
    write: (id) => ({ layers: [{ kind: 'add', id: name, inputs: [id, other ?? id], shape }], weightSpecs: [], output: name, shape }),
  }
}

/**
 * Of images of one size, to so many channels in all. By itself it concatenates one image with itself, as few times as makes whole channels:
 * what it takes is copying.
 */
function concatenationAt(name: string, output: Shape, inputs?: readonly string[]): Place {
  const [height, width, channels] = output
  let copies = 2
  while (channels % copies !== 0) copies++
  const from: Shape = [height, width, channels / copies]
  return {
    name,
    operation: 'concat',
    from,
    key: { type: 'Concat', input: from, output },
    write: (id) => ({
      layers: [{ kind: 'concat', id: name, inputs: inputs ?? Array.from({ length: copies }, () => id), shape: output }],
      weightSpecs: [],
      output: name,
      shape: output,
    }),
  }
}

/** Means of 2×2 pixels. */
function poolAt(name: string, from: Shape): Place {
  const shape: Shape = [from[0] / TRANSITION_SCALE, from[1] / TRANSITION_SCALE, from[2]]
  const window = { kernel: TRANSITION_SCALE, stride: TRANSITION_SCALE }
  const key: LatencyOperation = { type: 'AvgPool', input: from, output: shape, ...window }
  return {
    name,
    operation: 'avg_pool_2x2',
    from,
    key,
    write: (input) => ({
      layers: [{ kind: 'pool', id: name, input, mode: 'average', ...window, padding: 0, shape }],
      weightSpecs: [],
      output: name,
      shape,
    }),
  }
}

/** Batch-norm, ReLU, mean over each channel, classifier. */
function headAt(from: Shape, classes: number, { batchNormEpsilon }: Norms): Place {
  return {
    name: 'head',
    operation: 'linear',
    from,
    key: { type: 'NormLogits', input: from, classes },
    write(id) {
      const writer = createPartWriter('head', from, batchNormEpsilon)
      return writer.done(writer.classifier(writer.activate('last', writer.norm('last', id), 'relu'), classes))
    },
  }
}

export { additionAt, concatenationAt, convolutionAt, headAt, poolAt, stemAt }
