import { createMemoryTrainingStore } from '../../rules/training/memory-store.ts'
import { describeTrainingRules } from '../fixtures/training-rules.ts'

describeTrainingRules('store in memory', async (body) => body({ create: createMemoryTrainingStore, reopen: (store) => store }))
