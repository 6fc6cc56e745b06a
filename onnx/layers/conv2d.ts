import { convolutionRule } from './convolution.ts'

/** [kernel, kernel, in / groups, out] to [out, in / groups, kernel, kernel]. */
const conv2d = convolutionRule((kernel, inChannels, outChannels, groups) => ({
  shape: [kernel, kernel, inChannels / groups, outChannels],
  order: [3, 2, 0, 1],
  groups,
}))

export { conv2d }
