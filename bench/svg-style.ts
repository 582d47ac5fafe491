/** The pictures have their own background, so that they are legible on any page. The colours follow the reader's colour scheme. */
export const SVG_STYLE = `
    .card { fill: #ffffff; stroke: #d0d7de }
    text { fill: #1f2328; font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
    .title { font-size: 17px; font-weight: 600 }
    .note { fill: #59636e; font-size: 12px }
    .grid { stroke: #d0d7de }
    .ours { fill: #0969da; stroke: #0969da }
    .theirs { fill: #bc4c00; stroke: #bc4c00 }
    .range { stroke-width: 2 }
    .p95 { fill: #ffffff; stroke-width: 2 }
    .value { stroke: #ffffff; stroke-width: 4; paint-order: stroke }
    @media (prefers-color-scheme: dark) {
      .card { fill: #0d1117; stroke: #3d444d }
      text { fill: #f0f6fc }
      .note { fill: #9198a1 }
      .grid { stroke: #3d444d }
      .ours { fill: #4493f8; stroke: #4493f8 }
      .theirs { fill: #f0883e; stroke: #f0883e }
      .p95 { fill: #0d1117 }
      .value { stroke: #0d1117 }
    }`;
