// Version of this software, the same for coordinator, agents and commands of one checkout.

import packageFile from '../package.json' with { type: 'json' }

const VERSION: string = packageFile.version

export { VERSION }
