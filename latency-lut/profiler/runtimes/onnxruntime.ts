// ONNX Runtime through onnxruntime-node: what most servers and desktops serve networks with. It is large and few tables are of it:
// an optional peer of the package, which a clone has for its tests.

import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { writeOnnx } from '../../../onnx/write-graph.ts'
import type { Shape } from '../../../search-space/index.ts'
import { foldBatchNorm } from '../../../engine/executor/index.ts'
import type { Workbench, WorkbenchOptions } from '../workbench.ts'
import { type Runtime, type RuntimeOptions, RuntimeUnavailableError } from './runtime.ts'

type Library = typeof import('onnxruntime-node')

/** As a command line of npm takes it. */
const PACKAGE = 'onnxruntime-node@1.30.0'
const INPUT = 'input'
const OUTPUT = 'output'
/** Errors only: which optimisations were left out is nothing that a profile can change. */
const LOG_SEVERITY = 3

async function load(): Promise<Library> {
  try {
    return await import('onnxruntime-node')
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error)
    throw new RuntimeUnavailableError(
      `onnxruntime-node is not installed or does not run on this machine (${reason}); install it with: npm install ${PACKAGE} ` +
        '(on Linux x64 it fetches CUDA libraries too, unless --ignore-scripts is given)',
    )
  }
}

/** `outer × a × b` values to `outer × b × a`. */
function swapInner(values: Float32Array, a: number, b: number): Float32Array {
  const swapped = new Float32Array(values.length)
  const size = a * b
  for (let start = 0; start < values.length; start += size) {
    for (let i = 0; i < a; i++) {
      for (let j = 0; j < b; j++) swapped[start + j * a + i] = values[start + i * b + j] as number
    }
  }
  return swapped
}

function sessionOptions(provider: string, threads: number): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: LOG_SEVERITY,
    // Threads of one network would go on spinning while the next one is measured.
    extra: { session: { force_spinning_stop: '1' } },
  }
}

function setUpWith(library: Library, provider: string, threads: number) {
  return ({ batch, weights, images }: WorkbenchOptions): Workbench => {
    const sessions: InferenceSession[] = []
    const inputs = new Map<string, Tensor>()
    const inputOf = (shape: Shape): Tensor => {
      const name = shape.join('x')
      const known = inputs.get(name)
      if (known) return known
      const [height, width, channels] = shape
      const tensor = new library.Tensor('float32', swapInner(images(shape), height * width, channels), [batch, channels, height, width])
      inputs.set(name, tensor)
      return tensor
    }
    return {
      async prepare(graph) {
        const network = foldBatchNorm(graph, weights)
        const bytes = writeOnnx(network, { name: 'measured', batch, inputName: INPUT, outputName: OUTPUT })
        const session = await library.InferenceSession.create(bytes, sessionOptions(provider, threads))
        sessions.push(session)
        const feeds = { [INPUT]: inputOf(network.inputShape) }
        const { [OUTPUT]: first } = await session.run(feeds)
        if (!first) throw new Error(`the network gave no ${OUTPUT}`)
        // Results go into memory that is there already, as in a deployment that cares for time.
        const values = new Float32Array(first.size)
        const fetches = { [OUTPUT]: new library.Tensor('float32', values, first.dims) }
        const [, channels = 1, height = 1, width = 1] = first.dims
        return {
          async run() {
            await session.run(feeds, fetches)
          },
          result: async () => swapInner(values, channels, height * width),
          release() {},
        }
      },
      async dispose() {
        for (const session of sessions) await session.release()
      },
    }
  }
}

/** A provider may be known to the library and still lack its own libraries or its device: the smallest network tells. */
async function tryProvider(library: Library, provider: string, threads: number): Promise<void> {
  const empty = { input: 'input', inputShape: [1, 1, 1], output: 'input', steps: [] } as const
  try {
    const session = await library.InferenceSession.create(writeOnnx(empty, { name: 'empty', batch: 1 }), sessionOptions(provider, threads))
    await session.release()
  } catch (error) {
    throw new RuntimeUnavailableError(
      `onnxruntime's provider ${provider} does not start: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

/** Throws RuntimeUnavailableError where the library or the provider is not there. */
async function openOnnxruntime({ threads = 1, provider = 'cpu' }: RuntimeOptions): Promise<Runtime> {
  const library = await load()
  const known = library.listSupportedBackends().map(({ name }) => name)
  if (!known.includes(provider)) {
    throw new RuntimeUnavailableError(`this onnxruntime has no provider ${provider}; it has ${known.join(', ')}`)
  }
  const isProcessor = provider === 'cpu'
  if (!isProcessor && threads !== 1) throw new RuntimeUnavailableError(`--threads is for the provider cpu, not for ${provider}`)
  await tryProvider(library, provider, threads)
  const version = library.env.versions.node ?? library.env.versions.common
  return {
    name: 'onnxruntime',
    description: `onnxruntime ${version} on ${provider}${isProcessor ? `, ${threads === 1 ? '1 thread' : `${threads} threads`}` : ''}`,
    recorded: { name: isProcessor ? 'onnxruntime' : `onnxruntime-${provider}`, version, ...(isProcessor ? { threads } : {}) },
    accelerator: isProcessor ? null : `onnxruntime ${provider}`,
    // `run` resolves once the result is in the processor's memory.
    isQueued: false,
    runsInCaller: isProcessor && threads === 1,
    measures: 'in context',
    setUp: setUpWith(library, provider, threads),
  }
}

export { openOnnxruntime }
