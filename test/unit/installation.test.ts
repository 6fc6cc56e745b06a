// What `npm install` runs besides our own `prepare`, and what people are told to install or to type.

import { readFile } from 'node:fs/promises'

import { expect, test } from 'vitest'

import { typedCommand } from '../../command-line/installation.ts'
import { isNewEnough } from '../../command-line/launch.ts'
import packageFile from '../../package.json' with { type: 'json' }

type Lockfile = { readonly packages: Record<string, { readonly hasInstallScript?: boolean }> }

test('only packages whose scripts were read run one when they are installed', async () => {
  const { packages } = JSON.parse(await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8')) as Lockfile
  const names = Object.keys(packages).filter((path) => packages[path]?.hasInstallScript)
  // Not onnxruntime-node: its script downloads CUDA libraries on Linux, and the installation fails where it may not. `allowScripts`
  // in package.json keeps npm 11.16 and later from running it. Older ones go by the lockfile alone: whoever makes it anew takes
  // the entry's `hasInstallScript` out again.
  expect(names).toEqual(['node_modules/esbuild', 'node_modules/webgpu', 'node_modules/workerd'])
})

test('what a message says to install is of the version that was tested', async () => {
  const tested: Record<string, string> = {
    ...packageFile.peerDependencies,
    ...packageFile.devDependencies,
    // The same sources without CUDA.
    '@tensorflow/tfjs-node': packageFile.peerDependencies['@tensorflow/tfjs-node-gpu'],
  }
  const files = [
    'engine/datasets/fashion-mnist-reader.ts',
    'worker-agent/cli/doctor-command.ts',
    'latency-lut/profiler/runtimes/onnxruntime.ts',
    'README.md',
    'docs/latency.md',
  ]
  const texts = await Promise.all(files.map((file) => readFile(new URL(`../../${file}`, import.meta.url), 'utf8')))
  const named = [
    ...texts
      .join()
      .replaceAll('${PACKAGE}', 'fashion-mnist')
      .matchAll(/([\w@/-]+)@(\d+\.\d+\.\d+)/g),
  ]
  expect(new Set(named.map(([, name]) => name))).toEqual(
    new Set(['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node', 'webgpu', 'onnxruntime-node', 'fashion-mnist', 'wrangler']),
  )
  for (const [, name = '', version] of named) expect(version, name).toBe(tested[name])
})

test('a clone is told the command of a clone', () => {
  expect(typedCommand('worker-agent')).toBe('npm run worker-agent --')
})

test.each([
  ['22.18.0', true],
  ['22.17.9', false],
  ['23.0.0', true],
  ['20.20.2', false],
  ['22.18.0-nightly', true],
])('whether Node %s is as new as 22.18: %s', (version, expected) => {
  expect(isNewEnough(version, [22, 18])).toBe(expected)
})
