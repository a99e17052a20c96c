import { StaticModel } from '../schema';
export default {
  name: 'Test Large 9',
  describe: (l) => ({
    description: l.text(`A model; it has no pricing: { here }`),
  }),
  status: 'GA',
  contextLength: '256k',
  ratings: {
    input: 4.0, output: 2.0 },
  pricing: {
    type: 'custom',
    free: false,
    input: [
      { type: 'range', price: 1.5, priceEur: 1.25, denominator: '/M Tokens' },
      { type: 'range', label: 'Cached input', price: 0.15, denominator: '/M Tokens' }, // since spring
    ],
    output: [{ type: 'range', price: 7.5, denominator: '/M Tokens' }],
  },
  identifiers: { apiNames: ['test-large-9', 'test-large-latest'] },
  legacy: false,
  releaseDate: '2026-03-31',
  metadata: { deprecationDate: '2026-11-30', retirementDate: '2027-05-31', replacement: 'Test Large 10' },
  weights: [
    { name: 'Base Weights', parameters: '24', active: '6.5', license: 'Apache 2.0' },
    { name: 'Instruct Weights', parameters: '24', active: '6.5', license: 'MRL' },
  ],
} as const satisfies StaticModel;
