// Weight steps on smaller images at first: progressive resizing, as EfficientNetV2 (Tan and Le 2021, section 4) and those before it train.
// Convolutions, batch-norms and the head behind the global mean take images of any size, so the weights are those of the whole images.

import * as tf from '@tensorflow/tfjs-core'
import type { SearchConfig, StepWork } from '../../protocol/index.ts'
import { type Space, withSmallerInput } from '../../search-space/index.ts'
import { runnerOf } from './runners/index.ts'

type ProgressiveResizing = {
  /** The space at the smaller size. */
  readonly small: Space
  /** Pixels down and across that are one at a step: 1 on whole images, which all that trains no weights sees. */
  divisorOf(work: StepWork, step: number): number
}

const FIELD = 'training.progressiveResizing.divisor'

/** Null where images are whole throughout. Throws SpaceError `config` where the space cannot do it. */
function progressiveResizing({ space, training }: Pick<SearchConfig, 'space' | 'training'>): ProgressiveResizing | null {
  const { progressiveResizing: settings, steps } = training
  if (!settings) return null
  const { divisor, share } = settings
  return {
    small: withSmallerInput(space, divisor, FIELD),
    divisorOf(work, step) {
      const position = runnerOf(work).position?.(work, step)
      return position !== undefined && position < share * steps ? divisor : 1
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

export { type ProgressiveResizing, progressiveResizing, shrink }
