// What `npm install` runs besides our own `prepare`.

import { readFile } from 'node:fs/promises'

import { expect, test } from 'vitest'

type Lockfile = { readonly packages: Record<string, { readonly hasInstallScript?: boolean }> }

test('only packages whose scripts were read run one when they are installed', async () => {
  const { packages } = JSON.parse(await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8')) as Lockfile
  const names = Object.keys(packages).filter((path) => packages[path]?.hasInstallScript)
  // Not onnxruntime-node: its script downloads CUDA libraries on Linux, and the installation fails where it may not. `allowScripts`
  // in package.json keeps npm 11.16 and later from running it. Older ones go by the lockfile alone: whoever makes it anew takes
  // the entry's `hasInstallScript` out again.
  expect(names).toEqual(['node_modules/esbuild', 'node_modules/webgpu', 'node_modules/workerd'])
})
