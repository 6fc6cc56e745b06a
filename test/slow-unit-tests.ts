// Unit test files that are the project `slow`, which `npm run test:fast` leaves out, by what makes them so. The rule: a file whose tests take more
// than about 2 s on an idle machine is named here; all others are the fast part. `npx vitest run --project unit` says how long each takes.

const slowUnitTests: Readonly<Record<string, readonly string[]>> = {
  'wait for real time to pass: slow lines, leases, retries': [
    'agent-versions',
    'coordinator-client',
    'heartbeats',
    'training-lease',
    'transfer',
  ],
  'start processes or threads, or compile': [
    'backends-open',
    'backends-doctor',
    'cli-local-coordinator',
    'datasets-image-folder',
    'full-disk',
    'lanes-trainer',
    'layers-toy',
    'proxy',
    'training-threads',
  ],
  'measure networks, or run what is exported in other runtimes': ['export-consumers', 'latency-cli', 'latency-profile', 'latency-runtimes'],
  'train for many steps, or compare kernels and networks with references': [
    'executor-conformance',
    'executor-gate-step',
    'family-gradients',
    'kernels-simd',
    'layers',
    'models-evaluate',
    'models-fine-tune',
    'proof-supernet',
    'scores',
    'training-from-scratch',
    'training-later-fields',
  ],
  'play whole searches, many random cases, or a whole data set': [
    'datasets-fashion-mnist',
    'safetensors',
    'search-rules',
    'simulation-recorded',
    'space-graphs',
    'strategies',
    'strategy-schedule',
    'weight-exchange',
  ],
}

/** Paths from the top folder. */
function slowUnitTestFiles(): string[] {
  return Object.values(slowUnitTests)
    .flat()
    .map((name) => `test/unit/${name}.test.ts`)
}

export { slowUnitTestFiles }
