import { convolutionRule } from './convolution.ts'

/** [kernel, kernel, channels, 1] to [channels, 1, kernel, kernel], one group per channel. */
const depthwiseConv2d = convolutionRule((kernel, channels) => ({
  shape: [kernel, kernel, channels, 1],
  order: [2, 3, 0, 1],
  groups: channels,
}))

export { depthwiseConv2d }
