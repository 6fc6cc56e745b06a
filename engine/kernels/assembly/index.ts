// Everything that kernels/wasm.ts calls.

export { channelStatistics, normalise, normaliseGradient } from './batch-norm';
export { scaleChannels, scaleGradient } from './channels';
export { convolutionScratchBytes, convolve, convolveGradient } from './convolution';
export { depthwise, depthwiseGradient, depthwiseScratchBytes } from './depthwise';
export {
  averagePositions,
  averagePositionsGradient,
  clampGradient,
  dot,
  sgdStep,
  sum,
} from './elementwise';
export { finishMoments } from './moments';
export { finishGradient, prepareNorm } from './normalised';
export { joinPhases, splitPhases } from './phases';
export { shiftChannels, shuffleChannels } from './runs';
export { maxPool, maxPoolGradient } from './pooling';
export { swish, swishGradient } from './swish';
