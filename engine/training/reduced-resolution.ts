// A search on smaller images: all of it, as the reduced input resolution of EcoNAS (Zhou et al. 2020), or the first weight steps alone, which is
// the progressive resizing of EfficientNetV2 (Tan and Le 2021, section 4) and those before it. Convolutions, batch-norms and the head behind
// the global mean take images of any size, so the weights fit whole images as well.

import * as tf from '@tensorflow/tfjs-core'
import type { SearchConfig, StepWork } from '../../protocol/index.ts'
import { type Space, withSmallerInput } from '../../search-space/index.ts'
import { runnerOf } from './runners/index.ts'

type ReducedResolution = {
  /** The space at the smaller size. */
  readonly small: Space
  /** Pixels down and across that are one at a step, 1 on whole images. */
  divisorOf(work: StepWork, step: number): number
  /** Of steps that train no weights: those of the images that weights are trained on at the end. */
  readonly judgedDivisor: number
}

const FIELD = 'training.reducedResolution.divisor'

/** Null where images are whole throughout. Throws SpaceError `config` where the space cannot do it. */
function reducedResolution({ space, training }: Pick<SearchConfig, 'space' | 'training'>): ReducedResolution | null {
  const { reducedResolution: settings, steps } = training
  if (!settings) return null
  const { divisor, share } = settings
  const judgedDivisor = share === 1 ? divisor : 1
  return {
    small: withSmallerInput(space, divisor, FIELD),
    judgedDivisor,
    divisorOf(work, step) {
      const position = runnerOf(work).position?.(work, step)
      if (position === undefined) return judgedDivisor
      return position < share * steps ? divisor : 1
    },
  }
}

/** Each pixel the mean of divisor × divisor; takes over `images`, [batch, height, width, channels]. */
function shrink(images: tf.Tensor4D, divisor: number): tf.Tensor4D {
  if (divisor === 1) return images
  const smaller = tf.avgPool(images, divisor, divisor, 'valid')
  images.dispose()
  return smaller
}

export { type ReducedResolution, reducedResolution, shrink }
