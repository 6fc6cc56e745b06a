// The parameters of every exported kernel by name, in the order in which assembly/*.ts declares them. Calls name what they
// pass (`kernels.sum({ a, b, out, count })`), so that nothing can change places; a test holds the table against the sources.
//
// Numbers that are addresses are byte offsets in the shared memory, 0 for what is not there or not wanted.

const convolutionGeometry = ['batch', 'ih', 'iw', 'ic', 'oh', 'ow', 'oc', 'kernel', 'stride', 'top', 'left', 'groups'] as const
const depthwiseGeometry = ['batch', 'ih', 'iw', 'channels', 'oh', 'ow', 'kernel', 'stride', 'top', 'left'] as const
const phaseGeometry = ['batch', 'height', 'width', 'channels', 'dilation', 'phases'] as const
const forwardAddresses = ['x', 'filter', 'y', 'norm', 'activation', 'moments', 'scratch'] as const
const gradientAddresses = [
  ...(['x', 'norm', 'activation', 'y', 'dy', 'coefficients', 'yActivation'] as const),
  ...(['filter', 'dfilter', 'dx', 'sums', 'scratch'] as const),
] as const
const normAddresses = ['mean', 'variance', 'gamma', 'beta'] as const

const kernelSignatures = {
  averagePositions: ['x', 'y', 'batch', 'positions', 'channels'],
  averagePositionsGradient: ['dy', 'dx', 'batch', 'positions', 'channels'],
  clampGradient: ['x', 'dy', 'dx', 'count', 'activation'],
  channelStatistics: ['x', 'mean', 'variance', 'moments', 'rows', 'channels'],
  convolutionScratchBytes: ['ic', 'oh', 'ow', 'oc', 'kernel', 'groups'],
  convolve: [...forwardAddresses, ...convolutionGeometry],
  convolveGradient: [...gradientAddresses, ...convolutionGeometry],
  depthwise: [...forwardAddresses, ...depthwiseGeometry],
  depthwiseGradient: [...gradientAddresses, ...depthwiseGeometry],
  depthwiseScratchBytes: ['ih', 'iw', 'oh', 'ow', 'channels', 'kernel', 'stride'],
  dot: ['a', 'b', 'count'],
  finishGradient: ['sums', 'norm', 'variance', 'coefficients', 'dgamma', 'dbeta', 'rows', 'channels', 'epsilon'],
  finishMoments: ['moments', 'mean', 'variance', 'channels'],
  joinPhases: ['y', 'x', ...phaseGeometry],
  maxPool: ['x', 'y', ...depthwiseGeometry],
  maxPoolGradient: ['x', 'dy', 'dx', ...depthwiseGeometry],
  normalise: ['x', ...normAddresses, 'y', 'scratch', 'rows', 'channels', 'epsilon', 'activation'],
  normaliseGradient: [
    ...(['x', 'dy', ...normAddresses, 'dx', 'coefficients', 'dgamma', 'dbeta', 'scratch'] as const),
    ...(['rows', 'channels', 'epsilon', 'activation'] as const),
  ],
  prepareNorm: [...normAddresses, 'norm', 'channels', 'epsilon'],
  scaleChannels: ['x', 'scale', 'y', 'batch', 'positions', 'channels'],
  scaleGradient: ['x', 'dy', 'dscale', 'batch', 'positions', 'channels'],
  shiftChannels: ['x', 'y', 'rows', 'channels', 'made', 'first'],
  shuffleChannels: ['x', 'y', 'rows', 'channels', 'groups'],
  sgdStep: [
    ...(['weight', 'velocity', 'gradient', 'newWeight', 'newVelocity', 'count'] as const),
    ...(['learningRate', 'momentum', 'nesterov', 'weightDecay'] as const),
  ],
  splitPhases: ['x', 'y', ...phaseGeometry],
  sum: ['a', 'b', 'out', 'count'],
  swish: ['x', 'y', 'count'],
  swishGradient: ['x', 'dy', 'dx', 'count'],
} as const satisfies Record<string, readonly string[]>

type KernelSignatures = typeof kernelSignatures
type KernelName = keyof KernelSignatures

/** What a call of a kernel passes: every parameter by its name. */
type KernelArguments<Name extends KernelName> = { readonly [Parameter in KernelSignatures[Name][number]]: number }

type KernelCalls = { readonly [Name in KernelName]: (given: KernelArguments<Name>) => number }

/** The compiled module does not have a kernel of the table, or it takes another number of parameters. */
class KernelSignatureError extends Error {
  readonly code = 'kernel-signature'
}

/** A call by name. The positions are worked out once; per call there is one array, which is used again: kernels call nothing back. */
function callByName(call: Function, names: readonly string[]): (given: Readonly<Record<string, number>>) => number {
  const values = names.map(() => 0)
  return (given) => {
    for (let i = 0; i < values.length; i++) values[i] = given[names[i] as string] as number
    return call(...values) as number
  }
}

/** Calls by name for the exports of a compiled module. Throws KernelSignatureError where it and the table differ. */
function bindKernels(exports: WebAssembly.Exports): KernelCalls {
  const calls = Object.entries(kernelSignatures).map(([name, parameters]) => {
    const exported = exports[name]
    if (typeof exported !== 'function' || exported.length !== parameters.length) {
      const got = typeof exported === 'function' ? `one of ${exported.length}` : 'none'
      throw new KernelSignatureError(`expected the compiled kernels to export ${name} of ${parameters.length} parameters, got ${got}`)
    }
    return [name, callByName(exported, parameters)]
  })
  return Object.fromEntries(calls) as KernelCalls
}

export { bindKernels, type KernelArguments, type KernelCalls, kernelSignatures, KernelSignatureError }
