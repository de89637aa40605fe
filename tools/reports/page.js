'use strict';
// Draws the figures, in the colours of the page, which follow the reader's.
const figures = JSON.parse(document.getElementById('figures').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
const touch = matchMedia('(pointer: coarse)').matches;

function template() {
  const style = getComputedStyle(document.body);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    gridcolor: colour('line'),
    linecolor: colour('line'),
    zerolinecolor: colour('line'),
  };
  return {
    layout: {
      font: {color: colour('text'), family: style.fontFamily, size: 13},
      xaxis: axis,
      yaxis: axis,
      hoverlabel: {
        bgcolor: colour('card'),
        bordercolor: colour('line'),
        font: {color: colour('text')},
      },
      modebar: {
        bgcolor: 'rgba(0,0,0,0)',
        color: colour('soft'),
        activecolor: colour('text'),
      },
    },
  };
}

const charts = figures.map((figure, index) => {
  const chart = document.getElementById(`chart-${index}`);
  figure.layout.template = template();
  // A finger on a chart scrolls the page.
  figure.layout.dragmode = touch ? false : 'zoom';
  Plotly.newPlot(chart, figure.data, figure.layout, {
    responsive: true,
    displaylogo: false,
    displayModeBar: touch ? false : 'hover',
    // No other: some of plotly's own would send the data away.
    modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']],
  });
  return chart;
});

dark.addEventListener('change', () => {
  for (const chart of charts) Plotly.relayout(chart, {template: template()});
});
