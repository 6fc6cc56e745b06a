// How this software came here: as a clone, whose TypeScript Node runs as it is, or as the package, which is built JavaScript.

import packageFile from '../package.json' with { type: 'json' }

const isPackage = import.meta.url.endsWith('.js')

/** What a person types, here or on another machine, for a command of ours: flags follow after a space. */
function typedCommand(name: keyof typeof packageFile.bin): string {
  // Named by its package: `npx worker-agent` fetches a stranger's package where ours is not installed.
  return isPackage ? `npx --package ${packageFile.name} ${name}` : `npm run ${name} --`
}

export { isPackage, typedCommand }
