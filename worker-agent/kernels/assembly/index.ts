// Everything that kernels/wasm.ts calls.

export { channelStatistics, normalise, normaliseGradient } from './batch-norm';
export {
  convolutionScratchBytes,
  convolve,
  convolveFilterGradient,
  convolveInputGradient,
} from './convolution';
export {
  depthwise,
  depthwiseFilterGradient,
  depthwiseInputGradient,
  depthwiseScratchBytes,
} from './depthwise';
export {
  averagePositions,
  averagePositionsGradient,
  dot,
  relu6Gradient,
  sgdStep,
  sum,
} from './elementwise';
export { maxPoolGradient } from './pooling';
