import { convolutionRule } from './convolution.ts'

/** [kernel, kernel, in, out] to [out, in, kernel, kernel]. */
const conv2d = convolutionRule((kernel, inChannels, outChannels) => ({
  shape: [kernel, kernel, inChannels, outChannels],
  order: [3, 2, 0, 1],
  groups: 1,
}))

export { conv2d }
