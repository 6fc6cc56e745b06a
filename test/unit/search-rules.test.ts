import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { describeSearchRules } from '../fixtures/search-rules.ts'

describeSearchRules('store in memory', async (body) => body({ create: createMemoryStore, reopen: (store) => store }))
